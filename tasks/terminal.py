"""What a person sees of a run: one line a stage, with the time left while it works.

A bar where there is a terminal, plain lines a few seconds apart where the output goes to a
file. Tasks call `reach` without knowing which, or whether anybody looks.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Final, Protocol

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from tasks import progress_artifacts
from tasks.pace import Pace

SECONDS_BETWEEN_LINES = 10.0
CHARACTERS_OF_CLOCKS = 30
"""What a bar's line holds beside its title, the bar, the numbers of steps and the note."""


class Stage(Protocol):
    """Where progress is shown."""

    def reach(self, step: int, note: str) -> None:
        """Show that `step` steps are done; `note` says in a few words how it goes."""


class SilentStage:
    """Nobody looks."""

    def reach(self, step: int, note: str) -> None:
        """Do nothing."""


class BarStage:
    """A bar on a terminal."""

    def __init__(self, progress: Progress, title: str, total: int, completed: int) -> None:
        self._progress = progress
        self._row = progress.add_task(title, total=total, completed=completed, note="")

    def reach(self, step: int, note: str) -> None:
        """Move the bar."""
        self._progress.update(self._row, completed=step, note=note)


class LineStage:
    """Lines in a log: at most one in ten seconds, and the last step always.

    The first, too, where what comes next may have to be compiled, which can take a minute.
    """

    def __init__(self, console: Console, title: str, total: int, steady_from: int = 0) -> None:
        self._console, self._title, self._total = console, title, total
        self._printed, self._steady_from = time.monotonic(), steady_from
        self._pace = Pace(total, steady_from)
        self._reached: int | None = None

    def reach(self, step: int, note: str) -> None:
        """Print a line if the last one is old enough, and none twice."""
        if step == self._reached:
            return
        is_to_be_said = step >= self._total or (self._reached is None and step < self._steady_from)
        self._reached = step
        now = time.monotonic()
        left = self._pace.left(step, now)
        if not is_to_be_said and now - self._printed < SECONDS_BETWEEN_LINES:
            return
        self._printed = now
        parts = (f"{self._title} {step}/{self._total}", left, note)
        self._console.print("  " + "  ".join(part for part in parts if part), highlight=False)


class BothStages:
    """Two places at once."""

    def __init__(self, one: Stage, other: Stage) -> None:
        self._both = (one, other)

    def reach(self, step: int, note: str) -> None:
        """Show it in both."""
        for shown in self._both:
            shown.reach(step, note)


NOBODY: Final = SilentStage()
_stage: ContextVar[Stage] = ContextVar("stage", default=NOBODY)
_screen: ContextVar[Console | None] = ContextVar("screen", default=None)


def console() -> Console:
    """Return the console of standard output as it is now; a log gets long lines unbroken.

    While a bar is shown it is the bar's, which alone can print above it.
    """
    shown = _screen.get()
    if shown is not None:
        return shown
    found = Console()
    return found if found.is_terminal else Console(width=120)


def heading(text: str) -> None:
    """Begin a stage."""
    console().print(f"[bold]{text}[/bold]", highlight=False)


def say(text: str) -> None:
    """Print one line."""
    console().print(text, highlight=False, soft_wrap=True, markup=False)


def warn(text: str) -> None:
    """Print one line that somebody should act on, and show it as a warning among Prefect's logs."""
    say(f"  {text}")
    # Outside of a run there is no such log.
    with suppress(MissingContextError):
        get_run_logger().warning(text)


def paragraph(text: str, style: str | None = None) -> None:
    """Print a sentence or more, broken between words on a terminal and unbroken in a log."""
    screen = console()
    unbroken = not screen.is_terminal
    screen.print(text, style=style, highlight=False, soft_wrap=unbroken, markup=False)


def reach(step: int, note: str = "") -> None:
    """Show how far the stage is that is being shown."""
    _stage.get().reach(step, note)


@contextmanager
def stage(title: str, total: int, completed: int = 0, steady_from: int = 0) -> Iterator[None]:
    """Show the progress of what is done inside, from `completed` of `total` steps on.

    No time left is told in a log before `steady_from`: until then programs are compiled.

    Within a flow, Prefect's page of its run shows it as well.
    """
    screen = console()
    if screen.is_terminal:
        with _bar(screen, title, total) as progress:
            bar = BarStage(progress, title, total, completed)
            wanted = _also_in_prefect(bar, title, total, completed, steady_from)
            with wanted as shown, _showing(shown, screen):
                yield
    else:
        lines = LineStage(screen, title, total, steady_from)
        wanted = _also_in_prefect(lines, title, total, completed, steady_from)
        with wanted as shown, _showing(shown, screen):
            yield


@contextmanager
def _also_in_prefect(
    shown: Stage, title: str, total: int, completed: int, steady_from: int
) -> Iterator[Stage]:
    if not progress_artifacts.is_wanted():
        yield shown
        return
    artifact = progress_artifacts.ArtifactStage(title, total, completed, steady_from)
    try:
        yield BothStages(shown, artifact)
    finally:
        if reason := artifact.close():
            say(f"  {reason}")


@contextmanager
def _showing(shown: Stage, screen: Console) -> Iterator[None]:
    stage_before, screen_before = _stage.set(shown), _screen.set(screen)
    try:
        yield
    finally:
        _stage.reset(stage_before)
        _screen.reset(screen_before)


def _bar(screen: Console, title: str, total: int) -> Progress:
    width = 28 if screen.width >= 120 else 12
    # The numbers stay whole: where there is not enough room, the note gives way.
    room = screen.width - width - len(title) - 2 * len(str(total)) - CHARACTERS_OF_CLOCKS
    return Progress(
        TextColumn("  {task.description}"),
        BarColumn(bar_width=width),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn(
            "{task.fields[note]}",
            table_column=Column(no_wrap=True, overflow="ellipsis", max_width=max(1, room)),
        ),
        console=screen,
    )
