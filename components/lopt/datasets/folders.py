"""Folders that appear whole or not at all, whoever is killed or comes at the same time."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

ASIDE = ".preparing-"
LOCK = ".lock"


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

    **Example**

    ```python
    with temporary_folder(folder) as aside:
        (aside / "finished").mkdir()
        publish(aside / "finished", folder / "1.0.0")
    ```
    """
    with tempfile.TemporaryDirectory(prefix=ASIDE, dir=folder) as aside:
        yield Path(aside)


def publish(finished: Path, target: Path) -> None:
    """Put the folder `finished`, of files only, in place as `target`, safe from a power cut.

    Its content reaches the disk before its name does.

    **Example**

    ```python
    publish(aside / "finished", folder / "1.0.0")
    ```
    """
    for path in [*finished.iterdir(), finished]:
        _sync(path)
    finished.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
