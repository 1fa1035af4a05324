"""What may happen to a run while it works, on the real servers: nothing is lost, no hand needed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tasks.outbox import FILE
from tasks.servers import running
from tasks.servers.supervisor import Supervisor
from tests.e2e.operators import SECONDS, Operator, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3 * SECONDS)]

SEGMENT = 20
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
seeds = iter(range(1000, 2000))


class Training:
    """A meta-training of many segments that no other test has, started as its form does."""

    def __init__(self, operator: Operator, meta_steps: int) -> None:
        self.operator = operator
        conf = dict(operator.deployment("meta-train")["parameters"]["meta_training"])
        self._conf = conf | {
            "meta_steps": meta_steps,
            "segment_meta_steps": SEGMENT,
            "warmup_meta_steps": 2,
            "seed": next(seeds),
        }
        self._known = self._folders()
        self.begin()

    def begin(self) -> None:
        """Start it, or start it again."""
        self.flow_run_id = self.operator.start("meta-train", meta_training=self._conf)

    @property
    def state(self) -> str:
        return self.operator.state(self.flow_run_id)

    @property
    def folder(self) -> Path:
        (found,) = self._folders() - self._known
        return found

    def reaches(self, meta_step: int) -> None:
        """Wait for a checkpoint of this meta-step or a later one."""

        def there() -> bool:
            if self.state in ENDED - {"COMPLETED"}:
                raise AssertionError(self.operator.log())
            return bool(self._folders() - self._known) and max(self.checkpoints, default=0) >= (
                meta_step
            )

        eventually(there, self.operator.log)

    def ends(self) -> str:
        """Wait until it has ended; how it has."""
        eventually(lambda: self.state in ENDED, self.operator.log)
        return self.state

    @property
    def checkpoints(self) -> list[int]:
        names = [path.name for path in (self.folder / "checkpoints").glob("[0-9]*")]
        return sorted(int(name) for name in names if name.isdecimal())

    def logged(self) -> list[int]:
        """The meta-steps that MLflow has a loss of."""
        from mlflow import MlflowClient

        client = MlflowClient(self.operator.mlflow)
        history = client.get_metric_history(self._record()["mlflow_run_id"], "meta/loss")
        return sorted(point.step for point in history)

    def _record(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "run.json").read_text()))

    def _folders(self) -> set[Path]:
        return {path.parent for path in self.operator.home.glob("runs/*/*/run.json")}


@pytest.fixture
def supervisor(operator: Operator) -> Iterator[Supervisor]:
    """Who starts and stops the servers; all of them run after a test."""
    operator.up()
    found = Supervisor(running.folder_of(operator.home))
    yield found
    operator.up()


def cancel(operator: Operator, flow_run_id: str) -> None:
    """Do what the button in Prefect's page does."""
    answer = httpx.post(
        f"{operator.prefect}/api/flow_runs/{flow_run_id}/set_state",
        json={"state": {"type": "CANCELLING", "name": "Cancelling"}},
        timeout=60,
    )
    answer.raise_for_status()


@pytest.mark.usefixtures("supervisor")
def test_a_run_that_is_cancelled_ends_with_a_checkpoint_and_goes_on_when_it_is_started_again(
    operator: Operator,
) -> None:
    training = Training(operator, 100_000)
    training.reaches(SEGMENT)
    cancel(operator, training.flow_run_id)
    assert training.ends() == "CANCELLED"
    before = training.checkpoints[-1]
    folder = training.folder
    training.begin()
    training.reaches(before + 1)
    assert training.folder == folder
    cancel(operator, training.flow_run_id)
    training.ends()
    assert training.logged() == list(range(1, training.checkpoints[-1] + 1))


def test_a_run_ends_well_though_prefect_was_killed_meanwhile(
    operator: Operator, supervisor: Supervisor
) -> None:
    training = Training(operator, 60 * SEGMENT)
    training.reaches(SEGMENT)
    psutil.Process(supervisor.statuses()["prefect"].pid).kill()
    assert training.ends() == "COMPLETED"
    assert training.logged() == list(range(1, 60 * SEGMENT + 1))


def test_mlflow_may_be_away_for_a_while_and_has_every_meta_step_once_afterwards(
    operator: Operator, supervisor: Supervisor
) -> None:
    training = Training(operator, 200 * SEGMENT)
    training.reaches(SEGMENT)
    supervisor.stop("mlflow")
    done = training.checkpoints[-1]
    # Meta-training does not wait for it.
    training.reaches(done + 3 * SEGMENT)
    assert (training.folder / FILE).exists()
    supervisor.start("mlflow")
    assert training.ends() == "COMPLETED"
    assert training.logged() == list(range(1, 200 * SEGMENT + 1))
    assert not (training.folder / FILE).exists()


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
