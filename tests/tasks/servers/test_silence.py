from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)

from tasks.deployment_confs import WorkPoolConf
from tasks.servers import silence
from tasks.servers.silence import Sign, noted, silent

# What is seen, look by look: of each run its last sign, for it is not there or has ended.
LOOKS = st.lists(st.dictionaries(st.sampled_from("abc"), st.sampled_from("12")), min_size=1)


@given(LOOKS, st.integers(1, 6))
def test_silent_is_who_had_the_same_sign_in_every_look_of_so_long(
    looks: list[dict[str, str]], seconds: int
):
    known: dict[str, Sign] = {}
    for now, signs in enumerate(looks):
        known = noted(known, signs, now)
    last = looks[-1]
    recent = looks[-(seconds + 2) :]
    same = {run for run in last if all(run in look and look[run] == last[run] for look in recent)}
    expected = same if len(looks) > seconds + 1 else set()
    assert set(silent(known, len(looks) - 1, seconds)) == expected


class StopWatchingError(Exception):
    """The clock has run out."""


class Scene:
    """A server that answers as it is told, and a clock; a number is so many seconds of sleep."""

    def __init__(self, looks: tuple[dict[str, str] | int | None, ...]) -> None:
        self.coming, self.now = list(looks), 0.0
        self.current: dict[str, str] = {}
        self.begun_again: list[list[str]] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        while self.coming and isinstance(self.coming[0], int):
            self.now += self.coming.pop(0)

    def unfinished(self, *_: Any, **__: Any) -> list[SimpleNamespace]:
        if not self.coming:
            raise StopWatchingError
        seen = self.coming.pop(0)
        if seen is None:
            raise httpx.ConnectError("nobody there")
        self.current = seen
        return [SimpleNamespace(id=run) for run in seen]

    def schedule(self, runs: list[SimpleNamespace], why: str) -> list[str]:
        del why
        names = [run.id for run in runs]
        self.begun_again.extend([names] if names else [])
        return names


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[str]]]:
    """A function that watches what is seen, look by look; which runs are begun again."""

    def watched(*looks: dict[str, str] | int | None) -> list[list[str]]:
        scene = Scene(looks)
        monkeypatch.setattr(silence.interrupted, "unfinished", scene.unfinished)
        monkeypatch.setattr(silence.interrupted, "crashed", lambda _: [])
        monkeypatch.setattr(silence.interrupted, "schedule_unchanged", scene.schedule)
        monkeypatch.setattr(silence, "_sign", lambda _, run: scene.current[run.id])
        clock = SimpleNamespace(sleep=scene.sleep, monotonic=lambda: scene.now)
        monkeypatch.setattr(silence, "time", clock)
        nobody = {PREFECT_API_URL: "http://127.0.0.1:1/api"}
        with temporary_settings(nobody), pytest.raises(StopWatchingError):
            silence.watch(WorkPoolConf(), seconds=60)
        return scene.begun_again

    return watched


def test_a_run_without_a_heartbeat_is_scheduled_again_once(watched: Callable[..., list[list[str]]]):
    assert watched(*[{"a": "1"}] * 8) == [["a"]]


def test_a_run_with_heartbeats_is_left_alone(watched: Callable[..., list[list[str]]]):
    assert watched(*[{"a": str(look // 3)} for look in range(40)]) == []


def test_a_server_that_was_away_makes_nobody_silent(watched: Callable[..., list[list[str]]]):
    looks = [*[{"a": "1"}] * 4, None, *[{"a": "1"}] * 5]
    assert watched(*looks) == []
    assert watched(*looks, {"a": "1"}, {"a": "1"}) == [["a"]]


def test_whoever_watches_and_has_slept_calls_nobody_silent(watched: Callable[..., list[list[str]]]):
    looks = [*[{"a": "1"}] * 4, 3600, *[{"a": "1"}] * 5]
    assert watched(*looks) == []
    assert watched(*looks, {"a": "1"}, {"a": "1"}) == [["a"]]


@pytest.mark.parametrize(("frequency", "seconds"), [(30, 150.0), (180, 900.0)])
def test_silence_is_five_of_the_heartbeats_that_are_asked_for(frequency: int, seconds: float):
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: frequency}):
        assert silence.silent_seconds() == seconds


def test_without_heartbeats_nobody_can_watch():
    asked = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    with temporary_settings(asked), pytest.raises(silence.NoHeartbeatsError, match="is none, and"):
        silence.silent_seconds()
