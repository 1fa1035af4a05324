"""Whatever ends a save, at whichever of its steps, the checkpoints before are as they were."""

import errno
import itertools
import os
import re
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lopt.checkpoint import CheckpointError, Checkpoints

NEWEST = 2
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}


class Watch(threading.local):
    """What is to be done before each change of a file, but for those that doing it makes."""

    listener: Callable[[], None] | None = None
    listening = True


def hook(event: str, arguments: tuple[Any, ...]) -> None:
    listener = Watch.listener
    if listener is None or not watch.listening:
        return
    if event in CHANGES or (event == "open" and arguments[2] & os.O_ACCMODE):
        watch.listening = False
        try:
            listener()
        finally:
            watch.listening = True


watch = Watch()
# Python tells of all that its own code does to files before it does it, and once told to tell,
# for ever. What orbax writes in C++ lies between two of these steps.
sys.addaudithook(hook)


@contextmanager
def told_of_changes(listener: Callable[[], None]) -> Iterator[None]:
    Watch.listener = staticmethod(listener)
    try:
        yield
    finally:
        Watch.listener = None


def state(step: int) -> dict[str, np.ndarray]:
    return {"x": np.full(100, step, np.float32), "y": np.arange(3) * step}


def save(checkpoints: Checkpoints, step: int) -> None:
    checkpoints.save(step, state(step), {"step": step})


def begin(directory: Path) -> Checkpoints:
    checkpoints = Checkpoints(directory, keep=2)
    for step in range(1, NEWEST + 1):
        save(checkpoints, step)
    return checkpoints


def sound_step(directory: Path) -> int:
    """The step that a process that begins now goes on from; its numbers are its own."""
    with Checkpoints(directory, keep=2) as checkpoints:
        assert checkpoints.set_aside_damaged() == ()
        found, facts = checkpoints.restore(like=state(0))
        for name, array in state(facts["step"]).items():
            np.testing.assert_array_equal(found[name], array)
        assert checkpoints.latest() == facts["step"]
        save(checkpoints, facts["step"] + 1)
    return int(facts["step"])


def copied(directory: Path, target: Path) -> Path:
    while True:
        try:
            return shutil.copytree(directory, target)
        except (FileNotFoundError, shutil.Error):  # another thread renamed something meanwhile
            shutil.rmtree(target)


def test_killed_at_any_step_of_a_save_leaves_a_sound_newest_checkpoint(tmp_path: Path) -> None:
    """What lies on the disk before each step is what a kill at this moment leaves there."""
    directory, left = tmp_path / "checkpoints", list[Path]()

    def keep_what_is_there() -> None:
        left.append(copied(directory, tmp_path / uuid.uuid4().hex))

    with begin(directory) as checkpoints, told_of_changes(keep_what_is_there):
        save(checkpoints, NEWEST + 1)
    steps = [sound_step(one) for one in left]
    assert len(steps) > 20
    assert steps == sorted(steps)
    assert set(steps) == {NEWEST, NEWEST + 1}


def test_what_others_remove_meanwhile_of_a_broken_save_keeps_nobody_from_saving(
    tmp_path: Path,
) -> None:
    """Threads of a save that has failed in this process may still be at it."""
    begin(tmp_path).close()
    part = tmp_path / f"{NEWEST + 5}.orbax-checkpoint-tmp"
    part.mkdir()
    for number in range(10):
        (part / str(number)).touch()

    def remove_one() -> None:
        for path in sorted(part.glob("*"))[:1]:
            path.unlink()

    with told_of_changes(remove_one):
        assert sound_step(tmp_path) == NEWEST
    assert not part.exists()


class Disk:
    """Has room for so many changes, and is full at the next one."""

    def __init__(self, room: int) -> None:
        self.room, self.changes = room, 0

    def change(self) -> None:
        self.changes += 1
        if self.changes == self.room + 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def refuses(self, work: Callable[[], None]) -> str:
        try:
            with told_of_changes(self.change):
                work()
        except CheckpointError as error:
            return str(error)
        return ""


# Where orbax gives up at an error, its other threads find out later.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_disk_that_is_full_at_any_step_of_a_save_leaves_the_ones_before(tmp_path: Path) -> None:
    not_written = 0
    for room in itertools.count():
        disk = Disk(room)
        with begin(tmp_path / str(room)) as checkpoints:
            said = disk.refuses(lambda one=checkpoints: save(one, NEWEST + 1))
            not_written += "cannot be written: No space left on device. It takes" in said
            assert len(said.splitlines()) <= 1
            is_there = not said or "is written, but those" in said
            newest = NEWEST + 1 if is_there else NEWEST
            assert checkpoints.latest() == newest
        assert sound_step(checkpoints.directory) == newest
        if disk.changes <= room:
            break
    assert not_written > 10


def test_what_is_refused_says_how_much_there_is_and_what_is_kept(tmp_path: Path) -> None:
    big = {"x": np.zeros(250_000, np.float32)}
    with Checkpoints(tmp_path) as checkpoints:
        said = Disk(room=0).refuses(lambda: checkpoints.save(1, big, {}))
        assert f"The checkpoint of meta-step 1 in {tmp_path} cannot be written: No space" in said
        assert re.search(r"takes more than 1\.0 MB, and [\d,.]+ MB are free\. There is none", said)
        save(checkpoints, 1)
        said = Disk(room=0).refuses(lambda: checkpoints.save(2, big, {}))
        assert said.endswith("That of 1 is whole: make room, and go on from there.")


def test_another_cause_is_said_in_its_words(tmp_path: Path) -> None:
    def broken() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with begin(tmp_path) as checkpoints:
        expected = re.escape("OSError: [Errno 5] Input/output error. It takes")
        with told_of_changes(broken), pytest.raises(CheckpointError, match=expected) as error:
            save(checkpoints, NEWEST + 1)
        assert isinstance(error.value.__cause__, OSError)


FILL_A_DISK = """
import pathlib, sys
import numpy as np
from lopt.checkpoint import CheckpointError, Checkpoints
directory = pathlib.Path(sys.argv[1], "checkpoints")
like = {"noise": np.zeros(60_000)}
with Checkpoints(directory, keep=3) as checkpoints:
    try:
        for step in range(1, 9):
            noise = np.random.default_rng(step).normal(size=60_000)
            checkpoints.save(step, {"noise": noise}, {"step": step})
    except CheckpointError as error:
        print(error)
    assert sorted(path.name for path in directory.iterdir()) == ["1", "2", "3"]
with Checkpoints(directory, keep=3) as checkpoints:
    assert checkpoints.set_aside_damaged() == ()
    restored, facts = checkpoints.restore(like)
    assert facts == {"step": 3}
    assert (restored["noise"] == np.random.default_rng(3).normal(size=60_000)).all()
"""
ON_A_SMALL_DISK = 'mount -t tmpfs -o size=1800k tmpfs "$1" && exec "$2" -c "$3" "$1"'
MAY_MOUNT = "mount -t tmpfs -o size=100k tmpfs /mnt"


def in_a_namespace(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", *command],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def small_disks() -> None:
    if not shutil.which("unshare") or in_a_namespace("sh", "-c", MAY_MOUNT).returncode != 0:
        pytest.skip("this system lets nobody but root mount a small disk")


@pytest.mark.usefixtures("small_disks")
def test_a_disk_that_is_really_full_leaves_the_ones_before_and_one_line(tmp_path: Path) -> None:
    arguments = ("small-disk", str(tmp_path), sys.executable, FILL_A_DISK)
    done = in_a_namespace("sh", "-c", ON_A_SMALL_DISK, *arguments)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert f"meta-step 4 in {tmp_path / 'checkpoints'} cannot be written: No space left" in line
    assert "It takes more than 0.5 MB, and 0." in line
    assert "Traceback" not in done.stderr
