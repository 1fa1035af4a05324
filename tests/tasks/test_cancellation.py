"""A run that was cancelled long ago, and whose process was not told, asks that process to end."""

import os
import signal
import threading
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Cancelling, Running, State

from tasks import cancellation
from tasks.deployment_confs import read_deployments
from tasks.deployments import load_flow

RUN = UUID(int=7)
AWAY = httpx.ConnectError("nobody there")
REMOVED = ObjectNotFound(Exception())


class EndOfSceneError(Exception):
    """Nothing more is answered."""


class Scene:
    """A server that answers as it is told, once every ten seconds of a clock."""

    def __init__(self, answers: list[State[Any] | Exception]) -> None:
        self.answers, self.now, self.ended_at = answers, 1.0, 0.0

    def read_flow_run(self, flow_run_id: UUID) -> SimpleNamespace:
        assert flow_run_id == RUN
        if not self.answers:
            raise EndOfSceneError
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(state=answer)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def kill(self, pid: int, number: int) -> None:
        assert (pid, number) == (os.getpid(), signal.SIGTERM)
        self.ended_at = self.now

    def __enter__(self) -> "Scene":
        return self

    def __exit__(self, *_: object) -> None:
        pass


def played(monkeypatch: pytest.MonkeyPatch, *answers: State[Any] | Exception) -> float:
    """The time at which the process is asked to end, 0 if it is not."""
    scene = Scene(list(answers))
    with monkeypatch.context() as patched:
        patched.setattr("prefect.client.orchestration.get_client", lambda **_: scene)
        patched.setattr(cancellation.time, "sleep", scene.sleep)
        patched.setattr(cancellation.time, "monotonic", lambda: scene.now)
        patched.setattr(cancellation.os, "kill", scene.kill)
        try:
            cancellation._ask(RUN)
        except EndOfSceneError:
            assert scene.ended_at == 0
    return scene.ended_at


@pytest.mark.parametrize("state", [Cancelling(), Cancelled()])
def test_who_is_cancelled_and_works_on_for_a_minute_is_asked_to_end(
    monkeypatch: pytest.MonkeyPatch, state: State[Any]
) -> None:
    assert played(monkeypatch, Running(), *[state] * 7) == 81
    assert played(monkeypatch, Running(), *[state] * 6) == 0


def test_who_is_not_cancelled_any_more_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert played(monkeypatch, *[Cancelling()] * 4, Running(), *[Cancelling()] * 5) == 0


def test_a_server_that_is_away_ends_nobody_and_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert played(monkeypatch, *[AWAY] * 30) == 0
    assert played(monkeypatch, *[AWAY] * 30, *[Cancelling()] * 7) > 0


def test_a_run_that_was_removed_works_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert played(monkeypatch, REMOVED) == 0


@pytest.mark.parametrize(
    ("given", "listens"), [(str(RUN), True), (str(UUID(int=8)), False), (None, False)]
)
def test_only_the_run_that_a_worker_has_started_asks(
    monkeypatch: pytest.MonkeyPatch, given: str | None, listens: bool
) -> None:
    asked = threading.Event()
    monkeypatch.setattr(cancellation, "_ask", lambda _: asked.set())
    if given is None:
        monkeypatch.delenv(cancellation.FLOW_RUN, raising=False)
    else:
        monkeypatch.setenv(cancellation.FLOW_RUN, given)
    run: Any = SimpleNamespace(id=RUN)
    unused: Any = None
    cancellation.listen(unused, run, unused)
    assert asked.wait(5 if listens else 0.2) is listens


def test_every_deployed_flow_listens() -> None:
    flows = [load_flow(one.flow) for one in read_deployments().deployments]
    assert flows
    assert [f.name for f in flows if cancellation.listen not in f.on_running_hooks] == []
