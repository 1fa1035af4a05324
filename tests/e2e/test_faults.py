"""What may happen to a run while it works, on the real servers: nothing is lost, no hand needed."""

import time
from collections.abc import Iterator

import psutil
import pytest

from tasks.outbox import FILE
from tasks.servers import running
from tasks.servers.processes import flow_runs, marked
from tasks.servers.programs import WORKER
from tasks.servers.supervisor import Supervisor
from tests.e2e.operators import SECONDS, Operator, eventually
from tests.e2e.trainings import ENDED, SEGMENT, Training, cancel

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3 * SECONDS)]


AWAY_SECONDS = 120


def processes_of(operator: Operator, training: Training) -> list[psutil.Process]:
    """The processes that work on it."""
    found = marked(operator.home, WORKER)
    return [one for one in found if training.flow_run_id in flow_runs([one])]


@pytest.fixture
def supervisor(operator: Operator) -> Iterator[Supervisor]:
    """Who starts and stops the servers; all of them run after a test."""
    operator.up()
    found = Supervisor(running.folder_of(operator.home))
    yield found
    operator.up()


@pytest.mark.usefixtures("supervisor")
def test_a_run_that_is_cancelled_ends_with_a_checkpoint_and_goes_on_when_it_is_started_again(
    operator: Operator,
) -> None:
    training = Training(operator, 100_000)
    training.reaches(SEGMENT)
    cancel(operator, training.flow_run_id)
    asked = time.monotonic()
    assert training.ends() == "CANCELLED"
    eventually(lambda: not processes_of(operator, training), operator.log, seconds=60)
    # Seconds on a quiet machine; tests have others beside them.
    assert time.monotonic() - asked < 90
    before = training.checkpoints[-1]
    folder = training.folder
    training.begin()
    training.reaches(before + 1)
    assert training.folder == folder
    cancel(operator, training.flow_run_id)
    training.ends()
    assert training.is_logged_once()


@pytest.mark.usefixtures("supervisor")
def test_a_run_whose_process_is_killed_goes_on_from_its_checkpoint(operator: Operator) -> None:
    training = Training(operator, 100_000)
    training.reaches(SEGMENT)
    for process in processes_of(operator, training):
        process.kill()
    before = training.checkpoints[-1]
    # Crashed for a moment: its worker lives and says so.
    eventually(lambda: training.checkpoints[-1] > before + SEGMENT, operator.log)
    assert operator.flow_run(training.flow_run_id)["run_count"] == 2
    cancel(operator, training.flow_run_id)
    assert training.ends() == "CANCELLED"
    assert training.is_logged_once()


def test_a_run_ends_well_though_prefect_was_killed_meanwhile(
    operator: Operator, supervisor: Supervisor
) -> None:
    training = Training(operator, 60 * SEGMENT)
    training.reaches(SEGMENT)
    psutil.Process(supervisor.statuses()["prefect"].pid).kill()
    assert training.ends() == "COMPLETED"
    assert training.logged() == list(range(1, 60 * SEGMENT + 1))


def test_a_run_can_be_cancelled_though_prefect_was_away_for_long_meanwhile(
    operator: Operator, supervisor: Supervisor
) -> None:
    training = Training(operator, 100_000, rollback_rise=1e6)
    training.reaches(SEGMENT)
    supervisor.stop("prefect")
    # Prefect's own runner has given up by then.
    time.sleep(AWAY_SECONDS / 2)
    supervisor.start("prefect")
    operator.up()
    training.reaches(training.checkpoints[-1] + SEGMENT)
    cancel(operator, training.flow_run_id)
    # Its worker calls it crashed until it is looked at again.
    eventually(lambda: training.state == "CANCELLED", operator.log)
    assert not processes_of(operator, training)
    assert training.is_logged_once()


def test_mlflow_may_be_away_for_a_while_and_has_every_meta_step_once_afterwards(
    operator: Operator, supervisor: Supervisor
) -> None:
    # However long it runs meanwhile, it may not end because it gets worse.
    training = Training(operator, 100_000, rollback_rise=1e6)
    training.reaches(SEGMENT)
    supervisor.stop("mlflow")
    stopped, done = time.monotonic(), training.checkpoints[-1]
    # Meta-training does not wait for it.
    training.reaches(done + 3 * SEGMENT)
    assert (training.folder / FILE).exists()
    time.sleep(max(0.0, stopped + AWAY_SECONDS - time.monotonic()))
    supervisor.start("mlflow")
    eventually(lambda: training.state in ENDED or not (training.folder / FILE).exists())
    assert training.state not in ENDED, operator.log()
    training.reaches(training.checkpoints[-1] + SEGMENT)
    cancel(operator, training.flow_run_id)
    assert training.ends() == "CANCELLED"
    assert training.is_logged_once()


def test_where_mlflow_is_away_at_the_end_the_release_is_on_disk_and_logging_is_repeated_alone(
    operator: Operator, supervisor: Supervisor
) -> None:
    training = Training(operator, 20 * SEGMENT)
    training.reaches(SEGMENT)
    supervisor.stop("mlflow")
    assert training.ends() in {"FAILED", "CRASHED"}
    assert (training.folder / "release" / "config.json").exists()
    trained = training.checkpoints
    supervisor.start("mlflow")
    operator.up()
    folder = training.folder
    training.begin()
    assert training.ends() == "COMPLETED"
    assert (training.folder, training.checkpoints) == (folder, trained)
    assert training.logged() == list(range(1, 20 * SEGMENT + 1))
