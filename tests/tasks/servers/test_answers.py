from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tasks.servers import supervisor
from tasks.servers.answers import NotUpError, Waiting, answers
from tasks.servers.supervisor import Status
from tests.local_server import serving


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 500)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def address() -> Iterator[str]:
    with serving(Page) as served:
        yield served


class Programs:
    """Says of each program what it is told to say."""

    def __init__(self, status: Status) -> None:
        self.status = status

    def statuses(self) -> dict[str, Status]:
        return {"mlflow": self.status}


def waiting(folder: Path, state: str, seconds: float = 60.0) -> Waiting:
    supervisor.log_file(folder, "mlflow").write_text("Starting\nOSError: no space left\n")
    programs = Programs(Status(state, 7, "Exited too quickly"))
    return Waiting(folder, programs, seconds)  # type: ignore[arg-type]


def test_only_a_page_that_is_there_answers(address: str) -> None:
    assert answers(f"{address}/health")
    assert not answers(f"{address}/broken")


def test_nobody_answers_at_a_port_where_nobody_listens(address: str) -> None:
    assert not answers("http://127.0.0.1:1/health")


def test_a_proxy_is_not_asked_about_this_machine(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert answers(f"{address}/health")


@pytest.mark.parametrize("state", ["BACKOFF", "EXITED", "FATAL"])
def test_a_dead_program_is_not_waited_for_and_its_last_words_are_said(
    tmp_path: Path, state: str
) -> None:
    with pytest.raises(NotUpError) as error:
        waiting(tmp_path, state).until("mlflow", lambda: False)
    assert str(error.value) == (
        "mlflow has died: Exited too quickly. Its last words: OSError: no space left "
        f"(log: {tmp_path / 'mlflow.log'})."
    )


def test_a_program_that_does_not_answer_is_waited_for_no_longer_than_allowed(
    tmp_path: Path,
) -> None:
    with pytest.raises(NotUpError, match=r"mlflow does not answer after 0 s.*LOPT_START_SECONDS"):
        waiting(tmp_path, "RUNNING", seconds=0.01).until("mlflow", lambda: False)


def test_waiting_ends_when_the_program_is_ready(tmp_path: Path) -> None:
    ready = iter([False, True])
    waiting(tmp_path, "RUNNING").until("mlflow", lambda: next(ready))
    assert list(ready) == []
