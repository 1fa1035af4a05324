"""A run waits for those that were cancelled and have its place, and for nobody else."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.states import Cancelling, Pending, Running, State

from tasks import queue_places

MINE, QUEUE = UUID(int=7), UUID(int=1)
Look = list[State[Any]] | Exception


class Scene:
    """A server that has other runs in the queue, look by look, and a clock that sleep moves."""

    def __init__(self, limit: int | None, looks: list[Look]) -> None:
        self.limit, self.looks, self.now = limit, looks, 0.0
        self.said: list[str] = []

    def read_flow_run(self, flow_run_id: UUID) -> SimpleNamespace:
        assert flow_run_id == MINE
        return SimpleNamespace(work_queue_id=QUEUE)

    def read_work_queue(self, queue: UUID) -> SimpleNamespace:
        assert queue == QUEUE
        return SimpleNamespace(concurrency_limit=self.limit)

    def read_flow_runs(self, **_: Any) -> list[SimpleNamespace]:
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(look, Exception):
            raise look
        states = [(MINE, Running()), *((UUID(int=100 + i), one) for i, one in enumerate(look))]
        return [SimpleNamespace(id=i, name=f"run {i.int}", state=state) for i, state in states]

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def __enter__(self) -> "Scene":
        return self

    def __exit__(self, *_: object) -> None:
        pass


Play = Callable[..., Scene]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    def played(*looks: Look, limit: int | None = 1, works_on: UUID = MINE) -> Scene:
        scene = Scene(limit, list(looks))
        monkeypatch.setenv(queue_places.FLOW_RUN, str(MINE))
        monkeypatch.setattr(queue_places.flow_run, "get_id", lambda: str(works_on))
        monkeypatch.setattr("prefect.client.orchestration.get_client", lambda **_: scene)
        monkeypatch.setattr(queue_places.time, "sleep", scene.sleep)
        monkeypatch.setattr(queue_places.time, "monotonic", lambda: scene.now)
        monkeypatch.setattr(queue_places.terminal, "say", scene.said.append)
        monkeypatch.setattr(queue_places.terminal, "warn", scene.said.append)
        queue_places.wait_for_mine()
        return scene

    return played


def test_a_run_begins_when_the_cancelled_one_has_ended_and_says_once_whom_it_waits_for(
    play: Play,
) -> None:
    scene = play([Cancelling()], [Cancelling()], [])
    assert scene.now == 2 * queue_places.LOOK_SECONDS
    assert scene.said == ["Waits for the end of run 100, which was cancelled"]


@pytest.mark.parametrize(
    ("limit", "others"),
    [
        (1, []),
        (None, [Cancelling()]),
        (2, [Cancelling()]),
        # One more than the places, which is Prefect's own doing: nobody here ends soon.
        (1, [Running(), Pending()]),
    ],
)
def test_a_run_that_has_a_place_waits_for_nobody(
    play: Play, limit: int | None, others: list[State[Any]]
) -> None:
    scene = play(others, limit=limit)
    assert (scene.now, scene.said) == (0, [])


def test_two_places_are_taken_by_one_that_works_and_one_that_was_cancelled(play: Play) -> None:
    assert play([Cancelling(), Running()], [Running()], limit=2).now == queue_places.LOOK_SECONDS


def test_one_that_never_ends_is_waited_for_ten_minutes_and_told_of(play: Play) -> None:
    scene = play([Cancelling()])
    assert 600 <= scene.now < 610
    assert scene.said[-1].startswith("run 100 was cancelled and has not ended for 600 s")


def test_a_server_that_is_away_meanwhile_lets_nobody_begin(play: Play) -> None:
    away = httpx.ConnectError("nobody there")
    scene = play([Cancelling()], away, away, [Cancelling()], [])
    assert scene.now == 4 * queue_places.LOOK_SECONDS


def test_a_part_of_a_run_has_the_run_s_place(play: Play) -> None:
    assert play([Cancelling()], works_on=UUID(int=8)).now == 0


def test_who_runs_a_flow_by_hand_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(queue_places.FLOW_RUN, raising=False)
    # Whoever asked would find no server.
    monkeypatch.setattr("prefect.client.orchestration.get_client", None)
    queue_places.wait_for_mine()
