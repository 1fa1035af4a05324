"""Rows of a run on their way to MLflow: on disk first, so that nobody waits for a server.

Where MLflow does not answer, meta-training goes on, and the rows are sent with the next ones,
none lost and none twice: a row keeps its time, by which MLflow knows what it has.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tasks import terminal
from tasks.tracking import LoggedRows
from tasks.tracking_store import TrackingError, is_away, without_patience

Row = tuple[int, Mapping[str, float]]
FILE = "unsent_rows.jsonl"


class OutboxError(RuntimeError):
    """Rows cannot be put on disk; says why and what to do."""


class _Kept(NamedTuple):
    """A row, and when it was kept, in milliseconds since 1970."""

    row: Mapping[str, float]
    time: int

    def is_of(self, other: "_Kept") -> bool:
        """Tell whether the rows are equal; what is no number equals itself."""
        return json.dumps(self.row) == json.dumps(other.row)


class Outbox:
    """What one run has to send."""

    def __init__(self, folder: Path, logged: LoggedRows) -> None:
        self._file, self._logged = folder / FILE, logged
        self._away = False

    def keep(self, rows: Sequence[Row]) -> None:
        """Put rows on disk, where they wait until they are sent.

        Raises `OutboxError` if they cannot be written.
        """
        if not rows:
            return
        now = _now()
        lines = [json.dumps([step, dict(row), now]) for step, row in rows]
        try:
            with self._file.open("a", encoding="utf-8") as file:
                # A new line first: a process may have died in the middle of one.
                file.write("\n" + "\n".join(lines))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self._unwritten(error) from error

    def send_if_there(self) -> None:
        """Send all that is kept if MLflow answers, and else say that it does not.

        Raises `TrackingError` where it answers and refuses the rows, which stay kept.
        """
        try:
            with without_patience():
                self.send()
        except Exception as error:
            if not is_away(error):
                raise
            if not self._away:
                terminal.warn(
                    f"MLflow does not answer ({type(error).__name__}): what is to be logged is "
                    f"kept in {self._file} and sent later."
                )
            self._away = True

    def send(self) -> None:
        """Send what is kept, with MLflow's own patience.

        Raises `TrackingError` where MLflow answers and refuses the rows, which stay kept, and what
        MLflow's client raises where it is away.
        """
        from mlflow.exceptions import MlflowException

        kept = self._kept()
        if kept:
            rows = [(step, one.row) for step, one in sorted(kept.items())]
            try:
                self._logged.log(rows, {step: one.time for step, one in kept.items()})
            except MlflowException as error:
                if is_away(error):
                    raise
                raise self._refusal(error) from error
            self._file.unlink()
        if self._away:
            terminal.say(f"  MLflow answers again: {len(kept)} rows are sent")
        self._away = False

    def _unwritten(self, error: OSError) -> OutboxError:
        from lopt.disk_space import free_on, why_full

        full = why_full(error)
        reason = full or f"{type(error).__name__}: {error}"
        return OutboxError(
            f"The metrics of this run cannot be written to {self._file}: {reason}. "
            f"{free_on(self._file)} are free there. {'Make room' if full else 'Mend that'}, and "
            "give the same command again: it goes on from the last checkpoint, which is whole."
        )

    def _refusal(self, error: Exception) -> TrackingError:
        return TrackingError(
            f"MLflow refuses the metrics of this run ({error}). They are kept in {self._file}. "
            "Give the same command again when MLflow takes them: it goes on from the last "
            "checkpoint. Where the run was deleted in MLflow, restore it first, or they go to a "
            "new one."
        )

    def _kept(self) -> dict[int, _Kept]:
        """Return the rows of all steps, of each as it was kept last."""
        if not self._file.exists():
            return {}
        found: dict[int, _Kept] = {}
        for line in self._file.read_text(encoding="utf-8").splitlines():
            for step, one in _read(line):
                before = found.get(step)
                # Of the same row the first time: a request may be under way that has it.
                found[step] = before if before is not None and before.is_of(one) else one
        return found


def _read(line: str) -> Iterator[tuple[int, _Kept]]:
    """Read a line, unless it is half a one: its steps were not done, and are taken again."""
    try:
        kept = json.loads(line)
    except ValueError:
        return
    # Older versions of this file have no times.
    step, row, *at = kept
    yield step, _Kept(row, *(at or [_now()]))


def _now() -> int:
    return int(time.time() * 1000)
