"""One meta-training takes all that a machine has: the next one waits for its end."""

from datetime import datetime
from typing import Any

import pytest

from tasks.servers.processes import flow_runs, marked
from tasks.servers.programs import WORKER
from tests.e2e.operators import SECONDS, Operator, eventually
from tests.e2e.trainings import SEGMENT, Training, cancel

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


def test_who_was_cancelled_has_its_place_until_its_process_has_ended(operator: Operator) -> None:
    """Here one that takes long to end: it is stopped until Prefect's runner has no patience."""
    operator.up()
    first = Training(operator, 100_000, rollback_rise=1e6)
    first.reaches(SEGMENT)
    second = Training(operator, SEGMENT)
    processes = [
        one for one in marked(operator.home, WORKER) if flow_runs([one]) == [first.flow_run_id]
    ]
    for process in processes:
        process.suspend()
    cancel(operator, first.flow_run_id)
    # Prefect has given its place away.
    eventually(lambda: second.state == "RUNNING", operator.log)
    assert first.state == "CANCELLING"
    assert second.ends() == "COMPLETED", operator.log()
    assert first.state == "CANCELLED"
    wanted = {"flow_runs": {"id": {"any_": [second.flow_run_id]}}}
    works = operator.ask("task_runs/filter", **wanted)
    began = min(time_of(one, "start_time") for one in works)
    assert time_of(operator.flow_run(first.flow_run_id), "end_time") <= began
