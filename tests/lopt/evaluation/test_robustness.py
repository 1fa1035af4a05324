"""Laws of robustness over learning rates."""

import numpy as np
import optax
import pytest

from lopt.architectures import HierarchicalRNN
from lopt.evaluation import Candidate, evaluate, learned
from lopt.evaluation.bootstrap import mean_with_interval
from lopt.evaluation.measures import AREA, values
from lopt.evaluation.robustness import (
    INITIAL_LEARNING_RATES,
    from_all_rates,
    named_for_all_rates,
    over_rates,
    robustness,
)
from lopt.evaluation.tables import robustness_table

RATES = (1e-3, 1e-2)


def test_candidates_begin_at_all_rates_and_are_else_the_same(getkey):
    candidates = (
        learned(HierarchicalRNN.release(key=getkey())),
        Candidate("SGD", optax.sgd, (1.0,)),
    )
    from_everywhere = from_all_rates(candidates)
    assert {candidate.learning_rates for candidate in from_everywhere} == {INITIAL_LEARNING_RATES}
    assert [candidate.name for candidate in from_everywhere] == ["learned", "SGD"]
    assert from_everywhere[1].make is optax.sgd


def test_there_is_a_row_for_every_rate_with_the_mean_over_its_own_seeds(make_cell):
    cells = [make_cell("a", "SGD", RATES, 0), make_cell("b", "Adam", RATES, 1)]
    cells[0].losses[1, 2, 3:] = np.inf
    rows = robustness(cells)
    assert [(row.target, row.optimizer, row.learning_rate) for row in rows] == [
        *(("a", "SGD", rate) for rate in RATES),
        *(("b", "Adam", rate) for rate in RATES),
    ]
    assert [row.diverged for row in rows] == [0, 1, 0, 0]
    expected = [values(cell, AREA)[rate].mean() for cell in cells for rate in (0, 1)]
    assert [row.score for row in rows] == pytest.approx(expected)
    assert all(row.low <= row.score <= row.high for row in rows)


def test_all_rates_together_have_the_mean_of_the_scores_the_worst_and_what_diverged(make_cell):
    cell = make_cell("a", "SGD", RATES, 0)
    cell.losses[1, :2, 3:] = np.inf
    rows = robustness([cell])
    (together,) = over_rates([cell])
    assert together.mean == pytest.approx(np.mean([row.score for row in rows]))
    assert together.worst == max(rows, key=lambda row: row.score)
    assert (together.diverged, together.trajectories) == (2, 10)
    # Pairs of a rate and a seed are not ten draws, but five.
    interval = mean_with_interval([values(cell, AREA).mean(axis=0)])
    assert (together.mean, together.low, together.high) == interval


def test_a_table_has_a_row_for_each_optimizer_and_a_column_for_each_rate(make_cell):
    cells = [make_cell("initial_rates/a", name, RATES, 0) for name in ("learned", "SGD")]
    table = robustness_table(robustness(cells), over_rates(cells))
    assert table.columns[-2:] == ("from 0.001", "from 0.01")
    assert [row[:2] for row in table.rows] == [
        ("initial_rates/a", name) for name in ("learned", "SGD")
    ]
    assert all(len(row) == len(table.columns) for row in table.rows)


def test_where_the_name_says_so_every_optimizer_begins_at_all_rates(noisy_quadratics, getkey):
    targets = [noisy_quadratics, named_for_all_rates(noisy_quadratics)]
    candidates = (Candidate("ours", optax.sgd, (0.5,)), Candidate("SGD", optax.sgd, RATES))
    cells = tuple(evaluate(targets, candidates, 2, getkey()))
    assert [(cell.target, cell.learning_rates) for cell in cells] == [
        ("held_out/quadratics", (0.5,)),
        ("held_out/quadratics", RATES),
        ("initial_rates/held_out/quadratics", INITIAL_LEARNING_RATES),
        ("initial_rates/held_out/quadratics", INITIAL_LEARNING_RATES),
    ]
    # Of one make and begun at the same rates on the same problems, they are one optimizer.
    np.testing.assert_array_equal(cells[2].losses, cells[3].losses)
