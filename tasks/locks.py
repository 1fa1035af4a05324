"""Locks between processes, which the operating system takes back however a process ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, *, wait: bool, shared: bool = False) -> Iterator[None]:
    """Hold a lock, which any number may that share it.

    Without `wait`, raises `BlockingIOError` where another process has it.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    descriptor = _locked(path, kind if wait else kind | fcntl.LOCK_NB)
    try:
        yield
    finally:
        os.close(descriptor)


def removed_if_free(path: Path) -> bool:
    """Remove the file of a lock, unless a process holds that; return whether it is gone.

    It is removed while it is held: who waits for it makes a new one and waits for that.

    **Example**

    ```python
    removed_if_free(folder / "29401560.lock")
    ```
    """
    try:
        with locked(path, wait=False):
            path.unlink()
            return True
    except BlockingIOError:
        return False


def _locked(path: Path, kind: int) -> int:
    """Return the descriptor of the file that is there once it is locked."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, kind)
            if _is_there(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        # It was removed before it was locked: whoever comes now locks another file.
        os.close(descriptor)


def _is_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def is_free(path: Path) -> bool:
    """Return whether no process holds the lock."""
    try:
        with locked(path, wait=False):
            return True
    except BlockingIOError:
        return False
