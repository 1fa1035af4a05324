"""A lock is held by one process at a time, also where its file is removed in between."""

import multiprocessing
from pathlib import Path

import pytest

from tasks.locks import is_free, locked, removed_if_free

ROUNDS, PROCESSES = 300, 4


def test_a_lock_that_is_held_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with locked(path, wait=False):
        assert not removed_if_free(path)
        assert not is_free(path)
    assert removed_if_free(path)
    assert not path.exists()


def test_who_has_waited_for_a_lock_that_was_removed_holds_the_one_that_is_there(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.lock"
    context = multiprocessing.get_context("spawn")
    waits, may_end = context.Event(), context.Event()
    with locked(path, wait=False):
        other = context.Process(target=_hold, args=(path, waits, may_end))
        other.start()
        assert not waits.wait(2.0)
        path.unlink()
    assert waits.wait(30.0)
    with pytest.raises(BlockingIOError), locked(path, wait=False):
        pass
    may_end.set()
    other.join(30.0)
    assert other.exitcode == 0


def test_no_two_hold_a_lock_whoever_removes_it_meanwhile(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count, args=(tmp_path,)) for _ in range(PROCESSES)]
    for one in processes:
        one.start()
    while any(one.is_alive() for one in processes):
        removed_if_free(tmp_path / "x.lock")
    assert [one.exitcode for one in processes] == [0] * PROCESSES
    assert (tmp_path / "count").read_text() == str(ROUNDS * PROCESSES)


def _hold(
    path: Path,
    waits: "multiprocessing.synchronize.Event",
    may_end: "multiprocessing.synchronize.Event",
) -> None:
    with locked(path, wait=True):
        waits.set()
        may_end.wait(30.0)


def _count(folder: Path) -> None:
    for _ in range(ROUNDS):
        with locked(folder / "x.lock", wait=True):
            count = folder / "count"
            known = int(count.read_text()) if count.exists() else 0
            count.write_text(str(known + 1))
