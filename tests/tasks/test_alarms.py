"""Whoever is to be told of a failed night is told, and of no password."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tasks import alarms
from tests.chats import Chat, chatting


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chat]:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with chatting() as found:
        monkeypatch.setenv(alarms.WEBHOOK_VARIABLE, found.address)
        yield found


RUN: Any = SimpleNamespace(id="0a1b", name="night")


def test_the_webhook_is_told_without_passwords(chat: Chat) -> None:
    assert alarms.tell("Failed: http://me:secret@mlflow.example.org/api is away", RUN) is None
    assert chat.told == ["Failed: http://mlflow.example.org/api is away"]


def test_a_flow_that_fails_tells_the_webhook_and_its_log(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.states import Failed

    lines: list[str] = []
    # Prefect's own would start a server to send the line to.
    logger = SimpleNamespace(error=lines.append)
    monkeypatch.setattr("prefect.logging.loggers.flow_run_logger", lambda *_: logger)
    flow: Any = SimpleNamespace(name="nightly")
    alarms.report(flow, RUN, Failed(message="http://me:secret@mlflow is away"))
    assert chat.told == lines == ["nightly night: Failed. http://mlflow is away"]
    chat.status = 500
    alarms.report(flow, RUN, Failed())
    assert lines[1:] == [
        "nightly night: Failed.",
        "LOPT_ALARM_WEBHOOK could not be told: HTTPStatusError",
    ]


def test_who_can_be_seen_in_prefect_is_linked_to(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    monkeypatch.setattr("prefect.utilities.urls.url_for", lambda *_, **__: "http://ui/run/0a1b")
    alarms.tell("Failed.", RUN)
    assert chat.told == ["Failed. http://ui/run/0a1b"]


def test_a_webhook_that_does_not_take_it_is_said_without_its_address(chat: Chat) -> None:
    chat.status = 500
    said = alarms.tell("Failed.", RUN)
    assert said == "LOPT_ALARM_WEBHOOK could not be told: HTTPStatusError"


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/secret", "nonsense", "http://[secret"])
def test_an_address_that_leads_nowhere_fails_nothing(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv(alarms.WEBHOOK_VARIABLE, address)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    said = alarms.tell("Failed.", RUN)
    assert said is not None
    assert "secret" not in said


def test_without_a_webhook_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(alarms.WEBHOOK_VARIABLE, raising=False)
    assert alarms.tell("Failed.", RUN) is None
