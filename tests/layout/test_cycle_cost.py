"""How the benchmark of a cycle's cost divides what Prefect has recorded."""

import pytest

from benchmarks.cycle_cost import Stage, covered, divided, table


def test_time_that_intervals_share_counts_once() -> None:
    assert covered([(5.0, 6.0), (0.0, 2.0), (1.0, 3.0), (1.5, 1.8)]) == 4.0
    assert covered([]) == 0.0


def test_every_second_of_a_stage_is_in_one_column() -> None:
    steps = [
        ("evaluate_cell", (1.0, 4.0)),
        ("evaluate_cell", (2.0, 5.0)),
        ("log_report", (6.0, 8.0)),
        ("write_report", (5.0, 6.0)),
    ]
    stage = divided("evaluate-release", (0.0, 10.0), steps)
    assert stage == Stage("evaluate-release", work=4.0, steps=1.0, tracking=2.0, between=3.0)
    assert stage.beside == pytest.approx(6.0)


def test_the_table_ends_with_the_sum() -> None:
    stages = [Stage("a", 1.0, 2.0, 3.0, 4.0), Stage("b", 10.0, 20.0, 30.0, 40.0)]
    *_, last, _ = table(stages).splitlines()
    assert last.split() == ["all", "11.0", "22.0", "33.0", "44.0", "99.0"]
