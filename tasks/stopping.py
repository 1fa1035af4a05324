"""Ctrl-C and SIGTERM where they come at a bad moment, or to one of several processes."""

import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
OF_PREFECT = {"prefect", "httpx", "httpcore", "anyio", "socket"}
"""Packages whose errors are Prefect's where a flow raises them."""


class StoppedAtOnceError(BaseException):
    """Somebody has asked a second time; nothing is saved any more."""


class Wish:
    """What a process has been asked by a signal, and what the signal would have done."""

    def __init__(self, handlers: Mapping[int, Any]) -> None:
        self._handlers = handlers
        self.number: int | None = None

    def grant(self, number: int) -> NoReturn:
        """Do what this signal does otherwise: raise what stops the flow."""
        handler = self._handlers.get(number)
        if callable(handler):
            handler(number, None)
        raise KeyboardInterrupt


@contextmanager
def heeded(first: Callable[[int], None] | None = None) -> Iterator[Wish]:
    """Only note the first signal that comes, or call a function with it; a second ends at once.

    That raises `StoppedAtOnceError`. Outside of the main thread, where Python has no signals,
    nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield Wish({})
        return
    wish = Wish({number: signal.getsignal(number) for number in SIGNALS})

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        if wish.number is not None:
            raise StoppedAtOnceError
        wish.number = number
        if first is not None:
            first(number)

    # What is ignored stays so: a shell does that with Ctrl-C for what it starts aside.
    kept = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in kept}
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_behind(error: BaseException) -> BaseException | None:
    """Return the Ctrl-C, exit or SIGTERM that an error is, or that Prefect lost over it.

    `None` for any other error.

    One that comes while Prefect begins a task has it set the state of a task that is not there
    yet, and its own `ValueError` about that is what comes out. Where its server has been stopped
    by the same signal, it is the error of a connection.
    """
    # Whoever asks has Prefect already; whoever only imports this may not have it yet.
    from prefect.exceptions import TerminationSignal

    if isinstance(error, KeyboardInterrupt | SystemExit | TerminationSignal):
        return error
    behind = error.__context__
    return stop_behind(behind) if behind is not None and _is_of_prefect(error) else None


def _is_of_prefect(error: BaseException) -> bool:
    """Tell whether it was raised by Prefect, or by what Prefect speaks to its server with."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and frames[-1].f_globals["__name__"].partition(".")[0] in OF_PREFECT


def ignore_signals() -> None:
    """Heed no signal any more: this process is ending."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
