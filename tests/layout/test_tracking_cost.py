"""What the benchmark of tracking's cost leaves out and times is what a segment tells."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.stopwatch import Beside, Stopwatch
from benchmarks.tracked_segments import nobody_told
from tasks.outbox import Outbox


def test_what_is_untracked_is_written_nowhere_and_sent_to_nobody(tmp_path: Path) -> None:
    sent: list[Any] = []

    class Store:
        def log(self, rows: Any, times: Any) -> None:
            del times
            sent.append(rows)

    outbox: Any = Outbox(tmp_path, Store())  # type: ignore[arg-type]
    with nobody_told():
        outbox.keep([(1, {"loss": 0.5})])
        outbox.send_if_there()
    assert not list(tmp_path.iterdir())
    assert not sent
    outbox.keep([(1, {"loss": 0.5})])
    outbox.send_if_there()
    assert sent


def test_what_is_halted_in_a_running_watch_is_none_of_its_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr("benchmarks.stopwatch.time.perf_counter", lambda: clock[0])

    def work(seconds: float) -> float:
        clock[0] += seconds
        return seconds

    watch = Stopwatch()
    with watch.running():
        work(1.0)
        assert watch.halted_in(work)(8.0) == 8.0
        work(2.0)
    assert watch.of(work)(4.0) == 4.0
    assert watch.seconds == 7.0


def test_what_another_thread_works_is_beside_and_what_this_one_works_is_not() -> None:
    spent: dict[str, float] = {}
    beside, ended, done = Beside(), threading.Event(), threading.Event()

    def work() -> None:
        _use_the_processor(0.2)
        done.set()
        ended.wait()

    thread = threading.Thread(target=work)
    with beside.added_to(spent):
        _use_the_processor(1.0)
        assert spent == {}
        thread.start()
        done.wait()
    ended.set()
    thread.join()
    # Clocks of threads have a grain of 0.01 s.
    assert 0.1 < spent["threads"] < 0.9


def _use_the_processor(seconds: float) -> None:
    begun = time.thread_time()
    while time.thread_time() - begun < seconds:
        sum(range(1000))
