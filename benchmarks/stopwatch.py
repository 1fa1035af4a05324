"""Seconds of single parts of a piece of work, added up over all of their calls."""

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import psutil

P = ParamSpec("P")
R = TypeVar("R")


class Stopwatch:
    """The seconds of one thread that were spent in what it was told to time."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self, factor: int = 1) -> Iterator[None]:
        """Add what is done inside."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += factor * (time.perf_counter() - begun)

    def of(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return a function whose calls are added."""
        return self._while_it_works(function, 1)

    def halted_in(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return a function that is called while the watch runs, and is none of its business."""
        return self._while_it_works(function, -1)

    def _while_it_works(self, function: Callable[P, R], factor: int) -> Callable[P, R]:
        @functools.wraps(function)
        def timed(*args: P.args, **kwargs: P.kwargs) -> R:
            with self.running(factor):
                return function(*args, **kwargs)

        return timed


class Beside:
    """Processor seconds of what works beside the main thread: Python's other threads and children.

    XLA's own threads are none of Python's. Of a thread or child that has ended in between what it
    did since the last look is not known.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()

    @contextmanager
    def added_to(self, found: dict[str, float]) -> Iterator[None]:
        """Add what is done inside, by who does it."""
        threads, children = self._threads(), self._children()
        yield
        for name, before, after in (
            ("threads", threads, self._threads()),
            ("children", children, self._children()),
        ):
            spent = sum(after[one] - before.get(one, 0.0) for one in after)
            found[name] = found.get(name, 0.0) + spent

    def _threads(self) -> dict[int, float]:
        main = threading.main_thread()
        pythons = {one.native_id for one in threading.enumerate() if one is not main}
        known = self._process.threads()
        return {one.id: one.user_time + one.system_time for one in known if one.id in pythons}

    def _children(self) -> dict[int, float]:
        times = {one.pid: one.cpu_times() for one in self._process.children(recursive=True)}
        return {pid: time.user + time.system for pid, time in times.items()}
