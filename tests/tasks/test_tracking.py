import time
from collections.abc import Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tasks import links, tracking
from tasks.confs import DEFAULTS, EnsembleConf
from tasks.outbox import Outbox
from tasks.references import EnsembleReference
from tasks.tracked_inputs import log_ensemble
from tests.local_server import serving

pytestmark = pytest.mark.filterwarnings("default")
CONFS = {"ensemble": EnsembleConf(seed=3)}


class Stopped(BaseException):
    """As Prefect's signal of a cancellation, no `Exception`."""


def status(mlflow_run_id: str) -> str:
    return str(tracking.client().get_run(mlflow_run_id).info.status)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("error", "expected"),
    [(None, "FINISHED"), (ValueError(), "FAILED"), (Stopped(), "KILLED")],
)
def test_a_run_ends_as_what_is_done_in_it(error: BaseException | None, expected: str) -> None:
    expectation = nullcontext() if error is None else pytest.raises(type(error))
    with expectation, tracking.tracked("stage", CONFS) as mlflow_run_id:
        if error is not None:
            raise error
    assert status(mlflow_run_id) == expected


def test_everything_lies_under_the_home(home: Path) -> None:
    with tracking.tracked("stage", CONFS) as mlflow_run_id:
        tracking.client().log_text(mlflow_run_id, "text", "note.txt")
    assert list((home / "mlartifacts").rglob("note.txt"))


class Unavailable(BaseHTTPRequestHandler):
    """A server that is there, has been asked so often, and is too busy."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        # Of which MLflow's client asks first depends on whether it may print a run's address.
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def unavailable() -> Iterator[str]:
    Unavailable.asked.clear()
    with serving(Unavailable) as address:
        yield address


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("error", [ValueError(), Stopped()])
def test_what_ends_badly_does_not_wait_for_a_server_that_is_away(
    error: BaseException, unavailable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stage() -> None:
        with tracking.tracked("stage", CONFS):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", unavailable)
            raise error

    with pytest.raises(type(error)):
        stage()
    assert len(Unavailable.asked) == 1


@pytest.mark.usefixtures("home")
def test_what_ends_badly_says_so_though_its_run_was_deleted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stage() -> None:
        with tracking.tracked("stage", CONFS) as mlflow_run_id:
            tracking.client().delete_run(mlflow_run_id)
            raise ValueError("why it has ended")

    with pytest.raises(ValueError, match="why it has ended"):
        stage()
    assert "Current state is deleted" in capsys.readouterr().out


@pytest.mark.usefixtures("home")
def test_a_run_says_what_ran_with_which_code_and_values() -> None:
    with (
        tracking.tracked("cycle", {}) as parent,
        tracking.tracked("stage", CONFS, parent) as mlflow_run_id,
    ):
        run = tracking.client().get_run(mlflow_run_id)
    assert run.data.params["ensemble.seed"] == "3"
    assert run.data.tags["mlflow.parentRunId"] == parent
    assert len(run.data.tags["lock_sha256"]) == 64


@pytest.mark.usefixtures("home")
def test_more_metrics_than_a_batch_holds_are_all_logged_under_their_steps() -> None:
    rows = [(step, {f"metric_{i}": float(step) for i in range(7)}) for step in range(1, 301)]
    with tracking.tracked("stage", {}) as mlflow_run_id:
        tracking.log_metrics(mlflow_run_id, rows)
    history = tracking.client().get_metric_history(mlflow_run_id, "metric_6")
    assert [(point.step, point.value) for point in history] == [(s, float(s)) for s, _ in rows]
    assert tracking.last_step(mlflow_run_id, "metric_0") == 300


@pytest.mark.usefixtures("home")
def test_nothing_logged_yet_is_before_every_step() -> None:
    with tracking.tracked("stage", {}) as mlflow_run_id:
        assert tracking.last_step(mlflow_run_id, "meta/loss") == -1


@pytest.mark.usefixtures("home")
def test_rows_are_logged_once_and_the_history_is_read_once_a_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rows(*steps: int) -> list[tuple[int, dict[str, float]]]:
        return [(step, {"steps": 1.0}) for step in steps]

    asked: list[str] = []
    ask = tracking.last_step
    with tracking.tracked("stage", {}) as mlflow_run_id:
        before = tracking.LoggedRows(mlflow_run_id, "steps")
        before.log(rows(1, 2))
        monkeypatch.setattr(tracking, "last_step", lambda *of: asked.append(of[1]) or ask(*of))
        logged = tracking.LoggedRows(mlflow_run_id, "steps")
        logged.log(rows(2, 3))
        logged.log(rows(3, 4))
        logged.log([])
        logged.log(rows(4, 5))
    assert asked == ["steps"]
    history = tracking.client().get_metric_history(mlflow_run_id, "steps")
    assert [point.step for point in history] == [1, 2, 3, 4, 5]


@pytest.mark.usefixtures("home")
def test_rows_of_which_logging_has_failed_are_logged_by_the_next_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> None:
        raise ConnectionResetError

    with tracking.tracked("stage", {}) as mlflow_run_id:
        logged = tracking.LoggedRows(mlflow_run_id, "steps")
        logged.log([(1, {"steps": 1.0})])
        with monkeypatch.context() as patch:
            patch.setattr(tracking, "log_metrics", fail)
            with pytest.raises(ConnectionResetError):
                logged.log([(2, {"steps": 1.0})])
        logged.log([(2, {"steps": 1.0})])
    assert tracking.last_step(mlflow_run_id, "steps") == 2


@pytest.mark.usefixtures("home")
def test_a_row_that_is_sent_again_while_mlflow_is_still_at_work_on_it_is_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal ends the wait for an answer, not what MLflow does."""
    rows = [(1, {"steps": 1.0, "loss": float("nan")}), (2, {"steps": 1.0, "loss": 0.1})]
    log = tracking.log_metrics

    def log_and_be_stopped(*arguments: Any) -> None:
        log(*arguments)
        raise KeyboardInterrupt

    with tracking.tracked("stage", {}) as mlflow_run_id:
        outbox = Outbox(tmp_path, tracking.LoggedRows(mlflow_run_id, "steps"))
        with monkeypatch.context() as patch:
            patch.setattr(tracking, "log_metrics", log_and_be_stopped)
            outbox.keep(rows)
            with pytest.raises(KeyboardInterrupt):
                outbox.send_if_there()
        # As if nothing of it could be seen yet.
        monkeypatch.setattr(tracking, "last_step", lambda *_: -1)
        time.sleep(0.01)
        outbox.keep(rows[:1])
        outbox.send_if_there()
    for metric in ("steps", "loss"):
        history = tracking.client().get_metric_history(mlflow_run_id, metric)
        assert [point.step for point in history] == [1, 2]


@pytest.mark.usefixtures("home")
def test_a_run_that_cannot_be_linked_to_prefect_has_failed_and_goes_on_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def busy(*_: Any) -> None:
        raise ConnectionError("database is locked")

    monkeypatch.setattr(links, "show_mlflow_run", busy)
    with pytest.raises(ConnectionError), tracking.tracked("stage", {}):
        pass
    (run,) = tracking.client().search_runs([tracking.experiment_id()])
    assert run.info.status == "FAILED"


@pytest.mark.usefixtures("home")
def test_resuming_goes_on_in_the_same_run_and_ends_the_cycle_that_died() -> None:
    with tracking.tracked("cycle", {}) as dead, tracking.tracked("stage", {}, dead) as stage:
        pass
    for mlflow_run_id in (dead, stage):  # as a process leaves them that was killed
        tracking.client().update_run(mlflow_run_id, status="RUNNING")
    with (
        tracking.tracked("cycle", {}) as alive,
        tracking.tracked("stage", {}, alive, resumed=stage) as resumed,
    ):
        assert resumed == stage
        assert status(dead) == "KILLED"
    assert tracking.client().get_run(stage).data.tags["mlflow.parentRunId"] == alive
    assert status(stage) == "FINISHED"


@pytest.mark.usefixtures("home")
def test_a_finished_run_goes_over_to_the_cycle_that_takes_it_up_from_a_dead_one() -> None:
    with tracking.tracked("cycle", {}) as dead:
        with tracking.tracked("stage", {}, dead) as finished:
            pass
        with tracking.tracked("stage", {}, dead) as broken_off:
            pass
    for mlflow_run_id in (dead, broken_off):  # as a process leaves them that was killed
        tracking.client().update_run(mlflow_run_id, status="RUNNING")
    with tracking.tracked("cycle", {}) as alive:
        tracking.adopt(finished, alive)
    assert tracking.client().get_run(finished).data.tags["mlflow.parentRunId"] == alive
    assert [status(one) for one in (dead, broken_off, finished)] == ["KILLED", "KILLED", "FINISHED"]


def test_of_a_run_that_no_cycle_takes_up_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    tracking.adopt("r", parent=None)


@pytest.mark.usefixtures("home")
def test_a_run_stays_with_a_cycle_that_came_to_its_end() -> None:
    with tracking.tracked("cycle", {}) as first, tracking.tracked("stage", {}, first) as stage:
        pass
    with tracking.tracked("cycle", {}) as second:
        tracking.adopt(stage, second)
    assert tracking.client().get_run(stage).data.tags["mlflow.parentRunId"] == first


@pytest.mark.usefixtures("home")
def test_a_run_that_the_store_does_not_know_begins_anew() -> None:
    with tracking.tracked("stage", {}, resumed="0" * 32) as mlflow_run_id:
        assert mlflow_run_id != "0" * 32


@pytest.mark.usefixtures("home")
def test_a_run_that_was_deleted_begins_anew() -> None:
    with tracking.tracked("stage", {}) as deleted:
        pass
    tracking.client().delete_run(deleted)
    with tracking.tracked("stage", {}, resumed=deleted) as mlflow_run_id:
        assert mlflow_run_id != deleted
    assert status(mlflow_run_id) == "FINISHED"


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("begin", [tracking.adopt, None], ids=["adopted", "resumed"])
def test_a_run_whose_cycle_was_deleted_goes_on_in_another(begin: Any) -> None:
    with tracking.tracked("cycle", {}) as deleted, tracking.tracked("stage", {}, deleted) as stage:
        pass
    tracking.client().update_run(deleted, status="RUNNING")  # as one leaves it that was killed
    tracking.client().delete_run(deleted)
    with tracking.tracked("cycle", {}) as alive:
        if begin:
            begin(stage, alive)
        else:
            with tracking.tracked("stage", {}, alive, resumed=stage) as resumed:
                assert resumed == stage
    assert tracking.client().get_run(stage).data.tags["mlflow.parentRunId"] == alive


@pytest.mark.usefixtures("home")
def test_a_store_that_cannot_be_asked_makes_no_second_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    with tracking.tracked("stage", {}) as mlflow_run_id:
        pass

    def fail(*arguments: Any) -> None:
        raise MlflowException("the server is away")

    monkeypatch.setattr(MlflowClient, "get_run", fail)
    with (
        pytest.raises(MlflowException, match="the server is away"),
        tracking.tracked("stage", {}, resumed=mlflow_run_id),
    ):
        pass
    assert len(tracking.client().search_runs([tracking.experiment_id()])) == 1


@pytest.mark.usefixtures("home")
def test_an_ensemble_is_an_input_with_its_digest() -> None:
    ensemble = EnsembleReference(path="x/quick.parquet", digest="a" * 64, entries=3, programs=2)
    with tracking.tracked("stage", {}) as mlflow_run_id:
        log_ensemble(mlflow_run_id, ensemble, "meta-training")
    (found,) = tracking.client().get_run(mlflow_run_id).inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("quick", "a" * 36)
    assert "a" * 64 in found.dataset.source
    assert [tag.value for tag in found.tags] == ["meta-training"]


def test_values_are_flattened_with_dots() -> None:
    flat = tracking.flattened({"datasets": DEFAULTS.datasets, "ensemble": DEFAULTS.ensemble})
    assert flat["datasets.names"] == "['digits']"
    assert flat["ensemble.seed"] == "0"
