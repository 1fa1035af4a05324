"""Folders that appear whole or not at all, whoever is killed or comes at the same time."""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ASIDE = ".preparing-"
LOCK = ".lock"
PATIENCE = 5.0


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make `folder` and wait until no other process is in it; the others wait for us.

    The lock is the operating system's, so that of a killed process is gone with it.

    **Example**

    ```python
    with alone_in(folder):
        remove_leftovers(folder)
    ```
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def leftovers(folder: Path) -> list[Path]:
    """Return the temporary folders in `folder`: of a killed process, or of one at work.

    **Example**

    ```python
    leftovers(folder)
    ```
    """
    return list(folder.glob(f"{ASIDE}*"))


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left behind; to be called alone in `folder`.

    **Example**

    ```python
    with alone_in(folder):
        remove_leftovers(folder)
    ```
    """
    for leftover in leftovers(folder):
        shutil.rmtree(leftover)


@contextlib.contextmanager
def temporary_folder(folder: Path) -> Iterator[Path]:
    """Make a temporary folder within `folder`, so that renaming out of it is atomic.

    Removed at the end, also from under threads that still write into it, as TFDS's do after one of
    several downloads has failed. If they go on for longer than `PATIENCE` seconds it is left
    to `remove_leftovers`: what the caller has to hear of is the failed download.

    **Example**

    ```python
    with temporary_folder(folder) as aside:
        (aside / "finished").mkdir()
        publish(aside / "finished", folder / "1.0.0")
    ```
    """
    aside = Path(tempfile.mkdtemp(prefix=ASIDE, dir=folder))
    try:
        yield aside
    finally:
        end = time.monotonic() + PATIENCE
        while aside.exists() and time.monotonic() < end:
            shutil.rmtree(aside, ignore_errors=True)
            time.sleep(0.01)


def publish(finished: Path, target: Path) -> None:
    """Put the folder `finished`, of files only, in place as `target`, safe from a power cut.

    Its content reaches the disk before its name does.

    **Example**

    ```python
    publish(aside / "finished", folder / "1.0.0")
    ```
    """
    for path in [*finished.iterdir(), finished]:
        sync(path)
    finished.replace(target)
    sync(target.parent)


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk.

    **Example**

    ```python
    sync(folder / "train.arrow")
    ```
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
