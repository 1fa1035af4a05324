"""How a command that was stopped ends: without waiting for what cannot be stopped or is gone."""

import atexit
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from tasks import temporary_server

_statuses: list[int] = []


def end_soon(status: int) -> None:
    """Let this process end with a status as soon as everything but the compiler has ended."""
    ahead = sys.modules.get("lopt.meta_training.ahead")
    # Whoever compiles nothing ends as every process does.
    if ahead is not None and ahead.is_compiling():
        ahead.without_waiting()
        _statuses.append(status)


@contextmanager
def not_waiting_for_the_gone() -> Iterator[None]:
    """End at once where Prefect's temporary server has ended before.

    Prefect's client would try for minutes to send it what is left.
    """
    try:
        yield
    except BaseException as error:
        if not temporary_server.is_gone():
            raise
        _leave_with(_told(error))


def _told(error: BaseException) -> int:
    """Say what Python would at the end of a process that an error ends; its exit status."""
    if not isinstance(error, SystemExit):
        traceback.print_exception(error)
        return 1
    if isinstance(error.code, str):
        sys.stderr.write(f"{error.code}\n")
        return 1
    return int(error.code or 0)


def _leave_with(status: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


# Before a flow begins: what it registers, such as the end of Prefect's threads, comes first.
@atexit.register
def _leave() -> None:
    if _statuses:
        _leave_with(_statuses[-1])
