"""Laws of speed-ups over Adam and of the steps to its final loss."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lopt.evaluation import Cell, Report
from lopt.evaluation.reaching import log_speed_up, references, steps_to_reach
from lopt.evaluation.tables import reaching_table

RECORDS, EVERY = 9, 5
CURVES = arrays.arrays(
    np.float32, (3, RECORDS), elements=st.one_of(st.floats(0, 100, width=32), st.just(np.inf))
)


def cell(losses, optimizer="learned", seconds_per_step=None) -> Cell:
    """Curves that stay infinite once they are, as an evaluation gives them."""
    losses = np.atleast_2d(np.float32(losses))
    finite = np.logical_and.accumulate(np.isfinite(losses), axis=-1)
    return Cell(
        target="a",
        optimizer=optimizer,
        learning_rates=(0.1,),
        steps=EVERY * np.arange(losses.shape[-1], dtype=np.int32),
        losses=np.where(finite, losses, np.float32(np.inf))[None],
        metrics={},
        better={},
        seconds_per_step=seconds_per_step,
        timed_together=seconds_per_step and 1,
    )


def speed_up(losses, reference) -> np.ndarray:
    return log_speed_up(cell(losses), cell(reference, "Adam"))[0]


@given(CURVES)
def test_the_reference_is_as_fast_as_itself(losses):
    np.testing.assert_array_equal(speed_up(losses, losses), 0.0)


@given(CURVES, CURVES)
def test_no_speed_up_is_infinite_and_none_beyond_the_records(losses, reference):
    found = speed_up(losses, reference)
    assert (np.abs(found) <= np.log2(RECORDS - 1)).all()


@given(CURVES, CURVES, arrays.arrays(np.float32, (3, RECORDS), elements=st.floats(0, 1, width=32)))
def test_who_is_never_above_another_is_never_slower(losses, reference, factors):
    with np.errstate(invalid="ignore"):
        lower = np.where(np.isfinite(losses), losses * factors, losses)
    assert (speed_up(lower, reference) >= speed_up(losses, reference)).all()


@given(CURVES, CURVES, st.sampled_from([2.0**-10, 0.5, 4.0, 2.0**10]))
def test_rescaling_a_problem_leaves_the_speed_up(losses, reference, scale):
    scaled = speed_up(scale * losses, scale * reference)
    np.testing.assert_array_equal(scaled, speed_up(losses, reference))


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([8, 4, 2, 1, 1], 0.0),
        ([8, 2, 1, 1, 1], np.log2(3 / 2)),
        ([8, 0, 9, 9, 9], np.log2(3)),
        ([8, 7, 6, 5, 4], np.log2(1 / 4)),
        ([8, 7, 6, 5, 2], np.log2(2 / 4)),
        ([8, 4, np.inf, np.inf, np.inf], np.log2(1 / 4)),
    ],
    ids=["the same", "sooner", "once is enough", "as soon as", "half as fast", "diverged"],
)
def test_time_to_the_reference_counts_or_its_time_to_where_one_ends(losses, expected):
    reference = [8, 4, 2, 1, 1]
    np.testing.assert_allclose(speed_up([losses], [reference]), expected)


def test_where_the_reference_diverged_whoever_did_not_is_as_fast_as_can_be():
    reference = [8, 4, np.inf, np.inf, np.inf]
    np.testing.assert_allclose(speed_up([[8, 9, 9, 9, 9]], [reference]), 2.0)
    np.testing.assert_allclose(speed_up([[8, 1, 1, np.inf, np.inf]], [reference]), 0.0)


def test_steps_are_those_of_the_first_record_at_the_level_and_never_the_zeroth():
    steps = np.int32([0, 5, 10])
    losses = np.float32([[1, 3, 2], [1, 1, np.inf], [5, 4, 3], [1, 8, 9]])
    found = steps_to_reach(losses, steps, np.float32([2, np.inf, 4, np.inf]))
    np.testing.assert_array_equal(found, [10, np.inf, 5, 5])


def with_seconds(report, seconds, together=8):
    """The report, with the seconds of a step by optimizer."""
    cells = (
        dataclasses.replace(
            cell, seconds_per_step=seconds.get(cell.optimizer), timed_together=together
        )
        for cell in report.cells
    )
    return Report(tuple(cells), report.facts)


def test_adam_is_compared_with_at_its_best_rate_for_each_target(report):
    for score in report.scores("speed_up"):
        if score.optimizer == "Adam" and score.choice == "best rate per target":
            assert (score.value, score.low, score.high) == (0.0, 0.0, 0.0)
    best = references(report.cells)
    assert {cell.target for cell in best.values()} == set(report.targets)


def test_a_step_that_takes_twice_as_long_halves_the_speed_up_in_seconds(report):
    timed = with_seconds(report, {"learned": 2e-3, "Adam": 1e-3, "SGD": 1e-3})
    steps, seconds = (
        {(one.optimizer, one.choice, one.target): one.value for one in timed.scores(measure)}
        for measure in ("speed_up", "speed_up_in_seconds")
    )
    for place, value in steps.items():
        np.testing.assert_allclose(seconds[place], value - (place[0] == "learned"), atol=1e-6)


def test_what_was_not_timed_everywhere_has_no_speed_up_in_seconds(report):
    timed = with_seconds(report, {"learned": 2e-3, "Adam": 1e-3})
    assert "speed_up" in timed.measures
    assert "speed_up_in_seconds" not in timed.measures


def test_what_was_not_timed_alike_is_not_compared_by_seconds(report):
    pace = {"learned": 2e-3, "Adam": 1e-3, "SGD": 1e-3}
    cells = [
        dataclasses.replace(cell, timed_together=8 if cell.optimizer == "learned" else 64)
        for cell in with_seconds(report, pace).cells
    ]
    mixed = Report(tuple(cells), report.facts)
    assert "speed_up_in_seconds" not in mixed.measures
    of_ours = [row for row in mixed.reachings() if row.optimizer == "learned"]
    assert of_ours
    assert all(row.seconds is None for row in of_ours)


def test_without_adam_nothing_is_said_of_it(report):
    others = Report(tuple(cell for cell in report.cells if cell.optimizer != "Adam"))
    assert "speed_up" not in others.measures
    assert others.reachings() == ()


def test_medians_count_who_never_reaches_it_as_infinite():
    curves = [[8, 4, 2, 1], [8, 8, 8, 8], [8, 1, 1, 1]]
    adam = cell([[8, 4, 2, 1]] * 3, "Adam", 0.5)
    row, _ = Report((cell(curves, seconds_per_step=2.0), adam)).reachings()
    assert (row.reached, row.trajectories, row.steps, row.seconds) == (2, 3, 15.0, 30.0)
    curves[0] = curves[1]
    row, _ = Report((cell(curves), adam)).reachings()
    assert (row.reached, row.steps, row.seconds) == (1, np.inf, None)


def test_the_last_row_of_the_table_adds_up_what_was_reached(report):
    table = reaching_table(report.reachings())
    rows = [row for row in report.reachings() if row.optimizer == "learned"]
    assert [row[0] for row in table.rows] == [*report.targets, "all"]
    assert table.rows[-1][1] == f"{sum(row.reached for row in rows)} of 15"
