"""One run of a deployment in two processes, which `jax.distributed` joins."""

import psutil
import pytest

from tasks.servers import processes
from tests.e2e.operators import SECONDS, Operator, eventually
from tests.e2e.trainings import ENDED, SEGMENT, Training, cancel

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3 * SECONDS)]


class InTwo(Training):
    """Started from the deployment with two processes."""

    def begin(self) -> None:
        self.flow_run_id = self.operator.start("meta-train", "two", meta_training=self.conf)

    @property
    def processes(self) -> list[psutil.Process]:
        """Those that work on it, the first one first."""
        found = [
            process
            for process in processes.marked(self.operator.home)
            if processes.flow_runs([process]) == [self.flow_run_id]
            and "tasks.together" in process.cmdline()
        ]
        return sorted(found, key=lambda process: process.environ().get("JAX_PROCESS_ID", ""))


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
    assert len(training.processes) == 2
    cancel(operator, training.flow_run_id)
    assert training.ends() == "CANCELLED"
    eventually(lambda: not training.processes, operator.log, 120)
    done = training.checkpoints[-1]
    training.begin()
    training.reaches(done + SEGMENT)
    cancel(operator, training.flow_run_id)
    training.ends()
    assert training.logged() == list(range(1, training.checkpoints[-1] + 1))


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
