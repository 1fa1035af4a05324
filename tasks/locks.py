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
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
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
