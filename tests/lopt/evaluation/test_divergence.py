"""Laws of what is counted as diverged."""

import numpy as np
import pytest

from lopt.evaluation import Report
from lopt.evaluation.divergence import EVERY_RATE, divergence
from lopt.evaluation.tables import divergence_table
from lopt.evaluation.words import summary


def test_every_pair_of_a_target_and_a_seed_is_counted_once(report):
    for row in report.divergences():
        rates = len(report.of(row.optimizer)[0].learning_rates)
        pairs = len(report.targets) * report.cells[0].seeds
        assert row.trajectories == pairs * (rates if row.choice == EVERY_RATE else 1)


def test_all_rates_together_hold_what_diverged_at_any(report):
    rows = {(row.optimizer, row.choice): row.diverged for row in report.divergences()}
    assert rows["SGD", EVERY_RATE] == 1
    assert rows["Adam", EVERY_RATE] == rows["learned", "default rate"] == 0


def test_none_of_few_says_less_than_none_of_many(make_cell):
    few, many = (
        divergence([make_cell(str(n), "a", (0.1,), n) for n in range(targets)], "default rate")
        for targets in (1, 30)
    )
    assert few.fraction == many.fraction == few.low == 0.0
    assert few.high > 5 * many.high > 0.0


@pytest.mark.parametrize(
    ("curve", "diverged", "risen"),
    [([1, 2, 0.5], 0, 0), ([1, 0.5, 2], 0, 1), ([1, np.inf, np.inf], 1, 1), ([np.inf] * 3, 1, 1)],
)
def test_what_diverged_has_risen_but_not_the_other_way_round(make_cell, curve, diverged, risen):
    cell = make_cell("a", "b", (0.1,), 0)
    cell.losses[...] = np.resize(np.float32(curve)[[0, 1, 1, 1, 2]], cell.losses.shape)
    found = divergence([cell], "default rate")
    assert (found.diverged, found.risen) == (5 * diverged, 5 * risen)


def test_the_table_has_ours_and_every_baseline_at_every_choice(report):
    table = divergence_table(Report(report.cells).divergences())
    assert [row[:2] for row in table.rows] == [
        ("learned", "default rate"),
        *(
            (name, choice)
            for name in ("SGD", "Adam")
            for choice in ("best single rate", "best rate per target", "every rate")
        ),
    ]
    assert table.rows[3][2] == "1 of 30"


def test_who_ended_above_the_start_without_diverging_is_told_beside_who_diverged(report):
    learned = report.of("learned")
    for cell in learned:
        cell.losses[..., -1] = cell.losses[..., 0] / 2
    assert "more ended above" not in " ".join(summary(report))
    learned[0].losses[0, 0, -1], learned[0].losses[0, 1, -1] = 1e30, np.inf
    (line,) = (line for line in summary(report) if line.startswith("Of ours, "))
    assert line.startswith("Of ours, 1 of 15 trajectories diverged (6.67 %), and 1 more ended abo")
