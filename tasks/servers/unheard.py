"""Runs that somebody has cancelled, and whose process does not hear of it: it is told by a signal.

Prefect's runner gives up looking for cancellations, for good, when its server is away for half a
minute (`PREFECT_RUNNER_CRASH_ON_CANCELLATION_FAILURE` would crash the run at that moment instead).
"""

from collections.abc import Iterable, Set
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.servers import processes
from tasks.servers.programs import WORKER

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

PATIENCE = timedelta(seconds=60)
"""Longer than a process takes that has heard: it would leave without a checkpoint if told twice."""


def tell(runs: "Iterable[FlowRun]", home: Path, told: Set[str]) -> "list[FlowRun]":
    """Ask the processes of runs to end that were cancelled long ago; return these runs.

    Nobody is asked who was `told` already (ids). Only processes of the worker of this home are.
    """
    long_ago = datetime.now(UTC) - PATIENCE
    found = []
    for run in runs:
        state = run.state
        if state is None or not state.is_cancelling() or state.timestamp > long_ago:
            continue
        if str(run.id) not in told and processes.ask_to_end(home, WORKER, str(run.id)):
            found.append(run)
    return found
