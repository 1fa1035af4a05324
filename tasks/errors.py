"""Which errors say themselves what to do, and which may pass when it is tried again."""

from typing import Any


def is_ours(error: BaseException) -> bool:
    """Return whether the message says what to do, so that no traceback is needed."""
    return type(error).__module__.partition(".")[0] in {"lopt", "tasks"}


def may_pass(task: Any, task_run: Any, state: Any) -> bool:
    """Return whether trying a task again may help, which Prefect asks after a failure.

    What we refuse we refuse again, unless another error was the cause: a broken download, say.
    """
    del task, task_run
    error = state.data
    return not is_ours(error) or error.__cause__ is not None
