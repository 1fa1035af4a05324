import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from jax.errors import JaxRuntimeError

from tasks import heartbeats, processes
from tasks.conf_errors import ConfError
from tasks.processes import Company, CompanyError, Presence


class Store:
    """Stands where the store of JAX's coordination service would."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self._changed = threading.Condition()

    def key_value_set(self, key: str, value: str, allow_overwrite: bool) -> None:
        with self._changed:
            self.values[key] = value
            self._changed.notify_all()

    def key_value_delete(self, key: str) -> None:
        del self.values[key]

    def key_value_try_get(self, key: str) -> str:
        if key not in self.values:
            raise JaxRuntimeError(f"NOT_FOUND: {key}")
        return self.values[key]

    def blocking_key_value_get(self, key: str, milliseconds: int) -> str:
        with self._changed:
            if not self._changed.wait_for(lambda: key in self.values, milliseconds / 1000):
                raise JaxRuntimeError(f"DEADLINE_EXCEEDED: {key}")
            return self.values[key]


@pytest.fixture
def pair() -> tuple[Company, Company]:
    store = Store()
    return Company(store, 0, 2), Company(store, 1, 2)


@pytest.fixture
def other_thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


def test_words_come_in_order_and_old_ones_are_forgotten(pair: tuple[Company, Company]) -> None:
    leader, follower = pair
    for number in range(100):
        leader.say("turn", number=number)
        assert follower.next_word() == ("turn", {"number": number})
    assert len(leader._client.values) == processes.WORDS_KEPT


def test_all_end_with_the_exit_status_of_process_0(
    pair: tuple[Company, Company], other_thread: ThreadPoolExecutor
) -> None:
    leader, follower = pair
    ended = other_thread.submit(leader.end, 3)
    with pytest.raises(SystemExit) as ending:
        follower.next_word()
    assert ending.value.code == 3
    assert not ended.done()
    follower.end(3)
    ended.result()
    assert not leader.left


def test_process_0_leaves_those_that_do_not_end(
    pair: tuple[Company, Company], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "END_SECONDS", 0.1)
    leader, _ = pair
    leader.end(3)
    assert leader.left


def test_who_waits_for_one_that_has_failed_is_told_why(pair: tuple[Company, Company]) -> None:
    leader, follower = pair
    follower.fail("no space")
    follower.fail("another process is gone")
    with pytest.raises(CompanyError, match=r"without process 1 of 2 on .*: no space"):
        leader.arrivals()
    with pytest.raises(CompanyError, match="no space"):
        leader.say("turn")
    # The end is said all the same.
    leader._client.key_value_set("lopt/gone/1", "", allow_overwrite=True)
    leader.end(1)
    with pytest.raises(SystemExit):
        follower.wait_for_end(5)


def test_who_waits_for_one_that_gives_no_sign_of_life_is_told_its_host(
    pair: tuple[Company, Company], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeats, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(processes, "POLL_MILLISECONDS", 50)
    leader, follower = pair
    leader.present = (Presence("a", 4, "conf", "code"), Presence("b", 4, "conf", "code"))
    follower.begin_beating()
    follower.leave(1)
    with pytest.raises(CompanyError, match="no sign of life from process 1 on b"):
        leader.arrivals()
    leader.end(1)
    assert leader.left


def test_who_gives_signs_of_life_is_waited_for_as_long_as_it_takes(
    pair: tuple[Company, Company],
    monkeypatch: pytest.MonkeyPatch,
    other_thread: ThreadPoolExecutor,
) -> None:
    monkeypatch.setattr(heartbeats, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(heartbeats, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(processes, "POLL_MILLISECONDS", 50)
    leader, follower = pair
    follower.begin_beating()
    waited = other_thread.submit(leader.arrivals)
    time.sleep(1.5)
    assert not waited.done()
    follower.arrive("at last")
    assert waited.result() == ["at last"]
    follower.leave(0)


def test_time_in_which_process_0_has_not_listened_is_nobodys_silence() -> None:
    listening = heartbeats.Listening()
    assert listening.silent({1: "3"}, now=0.0) == []
    assert listening.silent({1: "3"}, now=1000.0) == []
    for second in range(1001, 1030):
        assert listening.silent({1: "3"}, now=float(second)) == []
    assert listening.silent({1: "3"}, now=1030.0) == [1]
    assert listening.silent({1: "4"}, now=1031.0) == []


def test_a_signal_is_passed_on_to_process_0(pair: tuple[Company, Company]) -> None:
    leader, follower = pair
    assert leader.asked_to_stop() is None
    follower.ask_to_stop(15)
    assert leader.asked_to_stop() == 15


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Presence("b", 4, "other", "code"), "has another conf than process 0"),
        (Presence("b", 4, "conf", "other"), "has other code or packages than process 0"),
    ],
)
def test_processes_that_are_to_do_something_else_are_refused(
    pair: tuple[Company, Company], other: Presence, said: str
) -> None:
    leader, follower = pair
    processes._meet(follower, other)
    with pytest.raises(ConfError) as error:
        processes._meet(leader, Presence("a", 4, "conf", "code"))
    (line,) = error.value.lines
    assert line.startswith(f"process 1 of 2 on b: {said}; allowed: ")


def test_a_flow_that_its_command_has_not_started_is_refused_several_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    monkeypatch.setenv("JAX_PROCESS_ID", "0")
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "127.0.0.1:9911")
    with pytest.raises(ConfError) as error:
        processes.refuse_elsewhere()
    assert error.value.lines[0].startswith("JAX_NUM_PROCESSES or JAX_PROCESS_ID or JAX_COORD")
