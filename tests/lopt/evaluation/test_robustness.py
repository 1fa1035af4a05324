"""Laws of robustness over learning rates."""

import numpy as np
import optax
import pytest

from lopt.architectures import HierarchicalRNN
from lopt.evaluation import Candidate, learned
from lopt.evaluation.measures import AREA, values
from lopt.evaluation.robustness import INITIAL_LEARNING_RATES, from_all_rates, robustness

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
