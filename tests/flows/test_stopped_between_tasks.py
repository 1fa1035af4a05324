"""A stop that comes while Prefect begins a task, on a real Prefect server."""

import prefect.task_engine
import pytest
from prefect import flow, task

from tasks import command_line, tracking

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("server", "home")]

RUNS: list[str] = []


@task
def segment() -> None:
    """Is never run."""


@flow
def trained() -> None:
    """Train."""
    with tracking.tracked("trained", {}) as mlflow_run_id:
        RUNS.append(mlflow_run_id)
        segment()


@pytest.mark.parametrize(
    ("stop", "word"), [(KeyboardInterrupt(), "Interrupted"), (SystemExit(143), "Stopped")]
)
def test_a_stop_that_prefect_stumbles_over_is_said_and_told_to_mlflow(
    stop: BaseException, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise stop

    monkeypatch.setattr(prefect.task_engine, "dynamic_key_for_task_run", stopped)
    monkeypatch.setattr(command_line.ending, "end_soon", lambda code: None)
    with pytest.raises(SystemExit) as ending:
        command_line.main(trained, [], if_stopped="It goes on.")
    assert ending.value.code == f"{word}. It goes on."
    assert tracking.client().get_run(RUNS[-1]).info.status == "KILLED"


def test_an_error_of_ours_over_a_stop_is_not_taken_for_one() -> None:
    @flow
    def full() -> None:
        """Train on a full disk."""
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise OSError("no space left on device") from None

    with pytest.raises(OSError, match="no space left"):
        command_line.main(full, [])
