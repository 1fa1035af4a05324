import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks import tracking_store
from tasks.locks import is_free
from tasks.tracking_store import TrackingError

pytestmark = pytest.mark.filterwarnings("default")
FIRST_CALL = """
import pathlib, sys, time
import mlflow
from tasks import tracking_store
pathlib.Path(sys.argv[1]).touch()
while not pathlib.Path("go").exists():
    time.sleep(0.001)
print(tracking_store.experiment_id())
"""


@pytest.mark.slow
def test_two_processes_may_be_the_first_in_a_new_home(tmp_path: Path) -> None:
    tree = Path.cwd()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")}
    environment |= {"LOPT_HOME": str(tmp_path / "home"), "PYTHONPATH": str(tree)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", FIRST_CALL, f"ready-{number}"],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    end = time.monotonic() + 120
    while len(list(tmp_path.glob("ready-*"))) < 2:
        assert time.monotonic() < end
        time.sleep(0.01)
    (tmp_path / "go").touch()
    results = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], results
    assert {out for out, _ in results} == {"1\n"}


def test_a_database_is_made_by_whoever_holds_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOPT_HOME", str(tmp_path))
    held: list[bool] = []
    monkeypatch.setattr(
        tracking_store, "_make", lambda uri: held.append(not is_free(tmp_path / "mlflow.lock"))
    )
    tracking_store.make_ready(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert held == [True]


@pytest.mark.usefixtures("home")
def test_an_experiment_that_another_process_has_just_made_is_the_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlflow import MlflowClient

    made = tracking_store.experiment_id()
    answers: list[Any] = [None]
    ask = MlflowClient.get_experiment_by_name

    def late(client: MlflowClient, name: str) -> Any:
        return answers.pop() if answers else ask(client, name)

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", late)
    assert tracking_store.experiment_id() == made
    assert not answers


def test_a_deleted_experiment_is_one_message_that_says_how_to_restore_it(home: Path) -> None:
    client = tracking_store.client()
    deleted = tracking_store.experiment_id()
    client.delete_experiment(deleted)
    with pytest.raises(TrackingError) as error:
        tracking_store.experiment_id()
    message = str(error.value)
    assert "The experiment 'lopt' was deleted in MLflow" in message
    variable, *command = message.partition("Restore it: ")[2].split()
    assert variable == f"MLFLOW_TRACKING_URI=sqlite:///{home / 'mlflow.db'}"
    assert command == ["mlflow", "experiments", "restore", "--experiment-id", deleted]
    client.restore_experiment(deleted)
    assert tracking_store.experiment_id() == deleted


@pytest.fixture
def new_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home without anything in it."""
    import mlflow

    monkeypatch.setenv("LOPT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield tmp_path / "home"
    mlflow.set_tracking_uri(None)


def test_a_database_of_which_the_making_was_broken_off_is_made_anew(new_home: Path) -> None:
    """Between a table and the note that it is there, which SQLite does not undo."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    noted: list[str] = []

    def break_off(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE alembic_version"):
            noted.append(statement)
            if len(noted) == 30:
                raise KeyboardInterrupt

    event.listen(Engine, "before_cursor_execute", break_off)
    try:
        with pytest.raises(KeyboardInterrupt):
            tracking_store.experiment_id()
    finally:
        event.remove(Engine, "before_cursor_execute", break_off)
    assert not (new_home / "mlflow.db").exists()
    assert tracking_store.experiment_id() == "1"
    assert [path.name for path in new_home.glob("mlflow.db*")] == ["mlflow.db"]
