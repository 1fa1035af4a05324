"""Locks between processes, which the operating system takes back however a process ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock; without `wait`, raise `BlockingIOError` where another process has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def is_free(path: Path) -> bool:
    """Return whether no process holds the lock."""
    try:
        with locked(path, wait=False):
            return True
    except BlockingIOError:
        return False
