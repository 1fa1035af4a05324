"""How a command that was stopped ends: without waiting for a compiler that cannot be stopped."""

import atexit
import os
import sys

_statuses: list[int] = []


def end_soon(status: int) -> None:
    """Let this process end with a status as soon as everything but the compiler has ended."""
    ahead = sys.modules.get("lopt.meta_training.ahead")
    # Whoever compiles nothing ends as every process does.
    if ahead is not None and ahead.is_compiling():
        ahead.without_waiting()
        _statuses.append(status)


# Before a flow begins: what it registers, such as the end of Prefect's threads, comes first.
@atexit.register
def _leave() -> None:
    if _statuses:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_statuses[-1])
