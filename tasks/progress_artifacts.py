"""How far a stage is, in Prefect: a bar and the time left among the artifacts of the flow run.

https://docs.prefect.io/v3/how-to-guides/workflows/artifacts
"""

import contextvars
import re
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import NamedTuple

from prefect.artifacts import create_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.context import FlowRunContext

from tasks.pace import Pace

SECONDS_BETWEEN_UPDATES = 10.0
SECONDS_AT_THE_END = 5.0
"""How long the last update is waited for; nothing of a run depends on it."""


class Shown(NamedTuple):
    """What Prefect's page says: percent, and in words."""

    percent: float
    words: str


def is_wanted() -> bool:
    """Return whether there is a flow run to show the progress of."""
    return FlowRunContext.get() is not None


class ArtifactStage:
    """A bar on the page of the flow run, moved by a thread of its own.

    The work never waits for Prefect's server: while an update is on its way, or the server away,
    the next ones are left out.
    """

    def __init__(self, title: str, total: int, completed: int, steady_from: int = 0) -> None:
        """Show the bar; to be made where the flow is, and not within a task."""
        self._title, self._total = title, total
        self._pace = Pace(total, steady_from)
        self._newest = self._last = Shown(_percent(completed, total), f"{completed}/{total}")
        self._artifact = create_progress_artifact(
            self._newest.percent, key=f"progress-{_slug(title)}", description=self._described()
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="progress")
        self._sent = time.monotonic()
        self._sending: Future[None] | None = None

    def reach(self, step: int, note: str) -> None:
        """Move the bar, if it has not just been moved."""
        now = time.monotonic()
        parts = (f"{step}/{self._total}", self._pace.left(step, now), note)
        self._newest = Shown(_percent(step, self._total), ", ".join(p for p in parts if p))
        if now - self._sent >= SECONDS_BETWEEN_UPDATES and not self._is_sending():
            self._send(now)

    def close(self) -> str | None:
        """Send what is newest; why that could not be shown, if it could not."""
        if self._sending is not None:
            wait([self._sending], SECONDS_AT_THE_END)
        if self._newest != self._last and not self._is_sending():
            self._send(time.monotonic())
            wait([self._sending] if self._sending else [], SECONDS_AT_THE_END)
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._sending is None:
            return None
        error = None if self._is_sending() else self._sending.exception()
        if error is None and not self._is_sending():
            return None
        return f"Prefect's page does not show how far {self._title} came: {error or 'no answer'}"

    def _is_sending(self) -> bool:
        return self._sending is not None and not self._sending.done()

    def _send(self, now: float) -> None:
        self._sent, self._last = now, self._newest
        update = ArtifactUpdate(data=self._newest.percent, description=self._described())
        # The server's address is part of the context.
        self._sending = self._thread.submit(contextvars.copy_context().run, self._update, update)

    def _update(self, update: ArtifactUpdate) -> None:
        with get_client(sync_client=True) as client:
            client.update_artifact(self._artifact, update)

    def _described(self) -> str:
        return f"{self._title}: {self._newest.words}"


def _percent(step: int, total: int) -> float:
    return round(100 * step / total, 2) if total else 100.0


def _slug(title: str) -> str:
    """Return a title as a key may be: of small letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
