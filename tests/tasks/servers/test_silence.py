from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.settings import PREFECT_API_URL, temporary_settings

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


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[str]]]:
    """Watch a server that answers as it is told, a look every 15 seconds; who is begun again."""

    def watched(*looks: dict[str, str] | None) -> list[list[str]]:
        told: list[list[str]] = []
        coming = iter(looks)
        clock = iter(range(0, 10**6, silence.LOOK_SECONDS))
        current: dict[str, str] = {}

        def unfinished(*_: Any, **__: Any) -> list[SimpleNamespace]:
            seen = next(coming, "over")
            if seen == "over":
                raise StopWatchingError
            if seen is None:
                raise httpx.ConnectError("nobody there")
            current.clear()
            current.update(seen)
            return [SimpleNamespace(id=run) for run in seen]

        def again(runs: list[str], why: str) -> list[str]:
            del why
            told.extend([runs] if runs else [])
            return runs

        monkeypatch.setattr(silence.interrupted, "unfinished", unfinished)
        monkeypatch.setattr(silence.interrupted, "schedule_again", again)
        monkeypatch.setattr(silence, "_sign", lambda _, run: current[run.id])
        monkeypatch.setattr(silence.time, "sleep", lambda _: None)
        monkeypatch.setattr(silence.time, "monotonic", lambda: next(clock))
        nobody = {PREFECT_API_URL: "http://127.0.0.1:1/api"}
        with temporary_settings(nobody), pytest.raises(StopWatchingError):
            silence.watch(WorkPoolConf(), seconds=60)
        return told

    return watched


def test_a_run_without_a_heartbeat_is_scheduled_again_once(watched: Callable[..., list[list[str]]]):
    assert watched(*[{"a": "1"}] * 8) == [["a"]]


def test_a_run_with_heartbeats_is_left_alone(watched: Callable[..., list[list[str]]]):
    assert watched(*[{"a": str(look // 3)} for look in range(40)]) == []


def test_a_server_that_was_away_makes_nobody_silent(watched: Callable[..., list[list[str]]]):
    looks = [*[{"a": "1"}] * 4, None, *[{"a": "1"}] * 5]
    assert watched(*looks) == []
    assert watched(*looks, {"a": "1"}, {"a": "1"}) == [["a"]]
