"""Waiting until a server answers, no longer than is allowed, and not for one that has died."""

import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from tasks.servers import supervisor
from tasks.servers.supervisor import Supervisor

PAUSE_SECONDS = 0.5
DEAD = {"BACKOFF", "EXITED", "FATAL"}


class NotUpError(RuntimeError):
    """A program has died or does not answer; says which, its last words and its log."""


def answers(url: str) -> bool:
    """Return whether a page is there."""
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=5) as response:
            return bool(response.status == 200)
    except (OSError, HTTPException):
        return False


class Waiting:
    """Waits for programs one after the other, until a point in time that is the same for all."""

    def __init__(self, folder: Path, asked: Supervisor, seconds: float) -> None:
        self._folder, self._asked, self._seconds = folder, asked, seconds
        self._end = time.monotonic() + seconds

    def until(self, name: str, is_ready: Callable[[], bool]) -> None:
        """Wait until a program is ready. Raises `NotUpError` if it dies or the time is over."""
        while not is_ready():
            status = self._asked.statuses()[name]
            if status.state in DEAD:
                raise NotUpError(f"{name} has died: {status.words}.{self._said(name)}")
            if time.monotonic() > self._end:
                raise NotUpError(
                    f"{name} does not answer after {self._seconds:.0f} s.{self._said(name)} "
                    "LOPT_START_SECONDS allows it more."
                )
            time.sleep(PAUSE_SECONDS)

    def _said(self, name: str) -> str:
        line = supervisor.last_line(self._folder, name)
        last = f" Its last words: {line[:200]}" if line else ""
        return f"{last} (log: {supervisor.log_file(self._folder, name)})."
