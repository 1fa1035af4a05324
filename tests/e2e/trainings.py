"""A meta-training of many segments, started as its form does, and how far it is."""

import json
import math
from pathlib import Path
from typing import Any

from tests.e2e.operators import Operator, eventually

SEGMENT = 20
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
seeds = iter(range(1000, 2000))


class Training:
    """A meta-training of many segments that no other test has, started as its form does."""

    def __init__(self, operator: Operator, meta_steps: int, **more: Any) -> None:
        self.operator = operator
        conf = dict(operator.deployment("meta-train")["parameters"]["meta_training"])
        self.conf = conf | {
            "meta_steps": meta_steps,
            "segment_meta_steps": SEGMENT,
            # A row is of a dispatch: so that many are to be lost, or logged twice.
            "meta_steps_per_dispatch": 1,
            "warmup_meta_steps": 2,
            "seed": next(seeds),
            **more,
        }
        self._known = self._folders()
        self._folder: Path | None = None
        self.begin()

    def begin(self) -> None:
        """Start it, or start it again."""
        self.flow_run_id = self.operator.start("meta-train", meta_training=self.conf)

    @property
    def message(self) -> str:
        """What Prefect says of its state."""
        return str(self.operator.flow_run(self.flow_run_id)["state"]["message"])

    @property
    def state(self) -> str:
        return self.operator.state(self.flow_run_id)

    @property
    def folder(self) -> Path:
        if self._folder is None:
            # Before another one begins.
            (self._folder,) = self._folders() - self._known
        return self._folder

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
    def digest(self) -> str:
        """What tells its release from all others."""
        from lopt import release

        return release.digest(self.folder / "release")

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

    def is_logged_once(self) -> bool:
        """Tell whether MLflow has every meta-step once, up to the newest checkpoint.

        Or up to the end of its segment, and no step between: a run that is stopped after a segment
        is logged and before it is checkpointed goes back a dispatch, whose rows are there already.
        """
        steps, last = self.logged(), self.checkpoints[-1]
        end_of_segment = math.ceil(last / SEGMENT) * SEGMENT
        return steps in (list(range(1, last + 1)), list(range(1, end_of_segment + 1)))

    def _record(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "run.json").read_text()))

    def _folders(self) -> set[Path]:
        return {path.parent for path in self.operator.home.glob("runs/*/*/run.json")}


def cancel(operator: Operator, flow_run_id: str) -> None:
    """Do what the button in Prefect's page does."""
    state = {"type": "CANCELLING", "name": "Cancelling"}
    operator.ask(f"flow_runs/{flow_run_id}/set_state", state=state)


def completed(operator: Operator, flow: str, **parameters: Any) -> str:
    """Start a deployment as its form does, and wait for its good end; the id of the run."""
    flow_run_id = operator.start(flow, **parameters)
    eventually(lambda: operator.state(flow_run_id) in ENDED, operator.log)
    assert operator.state(flow_run_id) == "COMPLETED", operator.log()
    return flow_run_id


def published(operator: Operator) -> tuple[Training, int]:
    """Meta-train for a moment, and make champion what comes out; the number of its version."""
    training = Training(operator, SEGMENT)
    assert training.ends() == "COMPLETED", operator.log()
    completed(operator, "publish-release", release=str(training.folder / "release"))
    return training, champion(operator)


def champion(operator: Operator) -> int:
    from mlflow import MlflowClient

    client = MlflowClient(operator.mlflow)
    return int(client.get_model_version_by_alias("learned-optimizer", "champion").version)
