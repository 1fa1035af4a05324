"""A place in a queue is a run's until its process has ended, also if somebody has cancelled it.

Prefect gives it to the next run as soon as the wish is there (for workers it counts what is Running
or Pending), while the process still has the memory of the GPU and writes its checkpoint.
"""

import os
import time
from typing import TYPE_CHECKING
from uuid import UUID

from prefect.runtime import flow_run

from tasks import terminal
from tasks.together import FLOW_RUN

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

LOOK_SECONDS = 2.0
MOST_SECONDS = 600.0
"""More than any process takes that lives, and than it takes to find out that one does not."""


def wait_for_mine() -> None:
    """Wait until there is a place for this run beside those that were cancelled and still work.

    Only runs that a worker has started have a place; what is a part of a run has that of the run.
    """
    mine = os.environ.get(FLOW_RUN)
    if mine is None or flow_run.get_id() != mine:
        return
    end = time.monotonic() + MOST_SECONDS
    before: list[str] = []
    while names := _asked(UUID(mine), before):
        if time.monotonic() > end:
            terminal.warn(
                f"{', '.join(names)} was cancelled and has not ended for {MOST_SECONDS:.0f} s: "
                "this run begins beside it. Look whether its process lives, and end it."
            )
            return
        if names != before:
            terminal.say(f"Waits for the end of {', '.join(names)}, which was cancelled")
        before = names
        time.sleep(LOOK_SECONDS)


def _asked(mine: UUID, before: list[str]) -> list[str]:
    """Return who is in my place, or was before where Prefect's server does not answer."""
    from httpx import HTTPError

    try:
        return _in_my_place(mine)
    except HTTPError:
        return before


def _in_my_place(mine: UUID) -> list[str]:
    """Return the names of the cancelled runs that leave no place for mine."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        queue = client.read_flow_run(mine).work_queue_id
        limit = None if queue is None else client.read_work_queue(queue).concurrency_limit
        if queue is None or limit is None:
            return []
        runs = _working(client, queue)
    ending = [run for run in runs if run.id != mine and run.state and run.state.is_cancelling()]
    return [run.name for run in ending] if len(runs) > limit else []


def _working(client: "SyncPrefectClient", queue: UUID) -> "list[FlowRun]":
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
        WorkQueueFilter,
        WorkQueueFilterId,
    )
    from prefect.client.schemas.objects import StateType

    working = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
    states = FlowRunFilterState(type=FlowRunFilterStateType(any_=working))
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=states),
        work_queue_filter=WorkQueueFilter(id=WorkQueueFilterId(any_=[queue])),
    )
