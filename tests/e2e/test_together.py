"""One run of a deployment in two processes, which `jax.distributed` joins."""

import psutil
import pytest

from tasks.hosts import NUMBER
from tasks.servers import processes, programs
from tasks.together import MODULE
from tests.e2e.operators import SECONDS, Operator, eventually
from tests.e2e.trainings import ENDED, SEGMENT, Training, cancel

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3 * SECONDS)]


class InTwo(Training):
    """Started from the deployment with two processes."""

    def begin(self) -> None:
        self.flow_run_id = self.operator.start("meta-train", "two", meta_training=self.conf)

    @property
    def processes(self) -> list[int]:
        """The numbers of those that work on it."""
        found = processes.marked(self.operator.home, programs.WORKER)
        mine = [one for one in found if processes.flow_runs([one]) == [self.flow_run_id]]
        return sorted(number for one in mine for number in number_of(one))


def number_of(process: psutil.Process) -> list[int]:
    """Return the number of a process in its run; nothing for one that has ended."""
    try:
        # The first one has given itself its own, which is not seen from outside.
        return [int(process.environ().get(NUMBER, 0))] if MODULE in process.cmdline() else []
    except psutil.Error:
        return []


def test_one_run_of_a_deployment_meta_trains_in_two_processes_and_leaves_none(
    operator: Operator,
) -> None:
    operator.up()
    training = InTwo(operator, 3 * SEGMENT)
    training.reaches(SEGMENT)
    assert training.ends() == "COMPLETED", operator.log()
    assert training.logged() == list(range(1, 3 * SEGMENT + 1))
    assert "2 devices in 2 processes" in operator.log()
    assert "Process 1 of 2 on" in operator.log()
    eventually(lambda: not training.processes, operator.log, 120)


def test_a_run_in_two_processes_that_is_cancelled_ends_both_and_goes_on(operator: Operator) -> None:
    operator.up()
    training = InTwo(operator, 100_000)
    training.reaches(SEGMENT)
    assert training.processes == [0, 1], operator.log()
    cancel(operator, training.flow_run_id)
    eventually(lambda: training.state == "CANCELLED", operator.log, 300)
    eventually(lambda: not training.processes, operator.log, 120)
    done = training.checkpoints[-1]
    training.begin()
    training.reaches(done + SEGMENT)
    cancel(operator, training.flow_run_id)
    eventually(lambda: training.state == "CANCELLED", operator.log, 300)
    eventually(lambda: not training.processes, operator.log, 120)
    assert training.is_logged_once()


def test_problems_that_two_processes_cannot_share_are_refused_with_the_reason(
    operator: Operator,
) -> None:
    operator.up()
    values = operator.deployment("meta-train")["parameters"]["meta_training"] | {"problems": 3}
    flow_run_id = operator.start("meta-train", "two", meta_training=values)
    eventually(lambda: operator.state(flow_run_id) in ENDED, operator.log)
    found = operator.flow_run(flow_run_id)["state"]
    assert found["type"] == "FAILED"
    assert "meta_training.problems: 3 is not allowed; allowed: a multiple of 2" in found["message"]
