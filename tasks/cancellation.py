"""A run that somebody has cancelled, and whose process is told by nobody: it asks by itself.

Prefect's runner gives up looking for cancellations, for good, when its server is away for half a
minute. Others reach a process only on their own machine and in their own container.
"""

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tasks.together import FLOW_RUN

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import FlowRun, State

ASK_SECONDS = 10.0
PATIENCE_SECONDS = 60.0
"""Longer than a process takes that has heard: it would leave without a checkpoint if told twice."""


def listen(flow: "Flow[..., Any]", flow_run: "FlowRun", state: "State[Any]") -> None:
    """Begin to ask whether this run is cancelled, if a worker has started it; for Prefect's hooks.

    Parts of a run end with it, and who has started a flow by hand stops it by hand.
    """
    del flow, state
    if os.environ.get(FLOW_RUN) == str(flow_run.id):
        asking = threading.Thread(target=_ask, args=(flow_run.id,), name="cancellation")
        asking.daemon = True
        asking.start()


def _ask(flow_run_id: UUID) -> None:
    """Ask until the run was cancelled long ago, and then for what Prefect's runner would."""
    from httpx import HTTPError
    from prefect.exceptions import ObjectNotFound

    since = None
    while since is None or time.monotonic() - since < PATIENCE_SECONDS:
        time.sleep(ASK_SECONDS)
        try:
            cancelled = _is_cancelled(flow_run_id)
        except HTTPError:
            # Its server is away.
            continue
        except ObjectNotFound:
            # Somebody has removed the run, which ends no process.
            return
        since = (since or time.monotonic()) if cancelled else None
    os.kill(os.getpid(), signal.SIGTERM)


def _is_cancelled(flow_run_id: UUID) -> bool:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        state = client.read_flow_run(flow_run_id).state
    return state is not None and (state.is_cancelling() or state.is_cancelled())
