"""No row is lost and none is logged twice, whatever becomes of MLflow or of the process."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from tasks.outbox import FILE, Outbox, OutboxError
from tasks.tracking_store import TrackingError


class Store:
    """Stands where `LoggedRows` would: an MLflow that is away at times."""

    def __init__(self) -> None:
        self.points: list[tuple[int, dict[str, float]]] = []
        self.away: Exception | None = None

    def log(self, rows: list[tuple[int, dict[str, float]]], times: dict[int, int]) -> None:
        assert times.keys() == {step for step, _ in rows}
        if self.away is not None:
            raise self.away
        last = max((step for step, _ in self.points), default=-1)
        self.points += [(step, dict(row)) for step, row in rows if step > last]

    @property
    def steps(self) -> list[int]:
        return [step for step, _ in self.points]


AWAY = MlflowException("API request failed with exception HTTPConnectionPool")


def rows(*steps: int) -> list[tuple[int, dict[str, float]]]:
    return [(step, {"loss": step / 3}) for step in steps]


def log(outbox: Any, new: list[tuple[int, dict[str, float]]]) -> None:
    outbox.keep(new)
    outbox.send_if_there()


@pytest.fixture
def store() -> Iterator[Store]:
    return Store()


def test_rows_of_an_outage_are_sent_with_the_next_ones(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outbox: Any = Outbox(tmp_path, store)
    log(outbox, rows(1, 2))
    store.away = AWAY
    log(outbox, rows(3))
    log(outbox, rows(4))
    assert store.steps == [1, 2]
    store.away = None
    log(outbox, rows(5))
    assert store.points == rows(1, 2, 3, 4, 5)
    assert not (tmp_path / FILE).exists()
    said = capsys.readouterr().out
    assert said.count("MLflow does not answer (MlflowException)") == 1
    assert said.count("MLflow answers again: 3 rows are sent") == 1


def test_rows_of_a_process_that_died_in_an_outage_are_sent_by_the_next(
    store: Store, tmp_path: Path
) -> None:
    store.away = AWAY
    died: Any = Outbox(tmp_path, store)
    log(died, rows(1, 2, 3))
    with (tmp_path / FILE).open("a") as file:
        file.write('\n[4, {"lo')
    store.away = None
    next_one: Any = Outbox(tmp_path, store)
    # From its checkpoint on, which may lie before what was kept.
    log(next_one, rows(3, 4, 5))
    assert store.points == rows(1, 2, 3, 4, 5)


def test_rows_that_an_older_lopt_has_kept_without_a_time_are_sent(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / FILE).write_text('\n[1, {"loss": 0.5}]')
    outbox: Any = Outbox(tmp_path, store)
    log(outbox, rows(2))
    assert store.points == [(1, {"loss": 0.5}), *rows(2)]


def test_at_the_end_an_outage_is_told(store: Store, tmp_path: Path) -> None:
    outbox: Any = Outbox(tmp_path, store)
    store.away = AWAY
    log(outbox, rows(1))
    with pytest.raises(MlflowException, match="HTTPConnectionPool"):
        outbox.send()
    store.away = None
    outbox.send()
    outbox.send()
    assert store.steps == [1]


def test_what_mlflow_refuses_is_no_outage_and_says_what_is_kept_and_what_to_do(
    store: Store, tmp_path: Path
) -> None:
    outbox: Any = Outbox(tmp_path, store)
    store.away = MlflowException("The run 7 is deleted.", INVALID_PARAMETER_VALUE)
    outbox.keep(rows(1))
    for send in (outbox.send_if_there, outbox.send):
        with pytest.raises(
            TrackingError, match=r"The run 7 is deleted\.\). They are kept in .*same"
        ):
            send()
    store.away = None
    log(outbox, rows(2))
    assert store.steps == [1, 2]


def test_a_full_disk_is_a_line_that_says_what_to_do(store: Store, tmp_path: Path) -> None:
    outbox: Any = Outbox(tmp_path, store)
    file = tmp_path / FILE
    file.symlink_to("/dev/full")
    with pytest.raises(OutboxError, match=r"No space left on device.*are free there\. Make room"):
        outbox.keep(rows(1))
    file.unlink()
    file.mkdir()
    with pytest.raises(OutboxError, match=r"IsADirectoryError.* Mend that, and give the same"):
        outbox.keep(rows(1))
    file.rmdir()
    log(outbox, rows(1))
    assert store.steps == [1]


def test_mlflow_s_patience_is_what_it_was_after_logging(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    outbox: Any = Outbox(tmp_path, store)
    for before in ("7", None):
        if before is None:
            monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")
        else:
            monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", before)
        store.away = AWAY
        log(outbox, rows(1))
        assert os.environ.get("MLFLOW_HTTP_REQUEST_MAX_RETRIES") == before


events = st.lists(st.sampled_from(["segment", "away", "back", "died"]), max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events)
def test_every_step_is_logged_once_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, happened: list[str]
) -> None:
    folder, store = tmp_path_factory.mktemp("run"), Store()
    outbox: Any = Outbox(folder, store)
    done = 0
    for event in happened:
        if event == "segment":
            log(outbox, rows(done + 1, done + 2))
            done += 2
        elif event == "died":
            # Rows were kept, the checkpoint was not: the segment is taken again.
            log(outbox, rows(done + 1, done + 2))
            outbox = Outbox(folder, store)
        else:
            store.away = AWAY if event == "away" else None
    store.away = None
    log(outbox, rows(done + 1, done + 2))
    assert store.points == rows(*range(1, done + 3))
