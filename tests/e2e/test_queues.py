"""One meta-training takes all that a machine has: the next one waits for its end."""

from datetime import datetime
from typing import Any

import pytest

from tests.e2e.operators import SECONDS, Operator
from tests.e2e.trainings import SEGMENT, Training

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3 * SECONDS)]


def time_of(run: dict[str, Any], what: str) -> datetime:
    return datetime.fromisoformat(run[what])


def test_of_meta_trainings_asked_for_at_once_each_begins_when_the_one_before_has_ended(
    operator: Operator,
) -> None:
    operator.up()
    trainings = [Training(operator, 2 * SEGMENT) for _ in range(2)]
    assert [one.ends() for one in trainings] == ["COMPLETED"] * 2, operator.log()
    runs = [operator.flow_run(one.flow_run_id) for one in trainings]
    first, second = sorted(runs, key=lambda run: time_of(run, "start_time"))
    assert time_of(second, "created") < time_of(first, "end_time"), "both were asked for by then"
    assert time_of(first, "end_time") <= time_of(second, "start_time")
