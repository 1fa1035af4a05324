"""Runs that were interrupted from outside, by `make down` or a killed worker: they go on.

They are the same flow runs with the same parameters, so that each finds its own checkpoint.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tasks import alarms

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

MOST_RUNS = 5
"""How often a run is begun: one that takes the worker with it each time is not tried for ever."""


def schedule_again(flow_run_ids: Iterable[str], why: str) -> list[str]:
    """Schedule these runs once more, but for those that have come to their end; their names.

    Raises what Prefect's client raises where the server does not answer.
    """
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        found = [client.read_flow_run(one) for one in dict.fromkeys(flow_run_ids)]
        return [run.name for run in found if _again(client, run, why)]


def unfinished(work_pool: str, *, pending: bool = True) -> "list[FlowRun]":
    """Return the runs that the pool's workers have begun and not ended.

    Those that are pending wait for a process, which on a cluster may take its time.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
        WorkPoolFilter,
        WorkPoolFilterName,
    )
    from prefect.client.schemas.objects import StateType

    begun = [StateType.RUNNING, StateType.CANCELLING, *[StateType.PENDING] * pending]
    states = FlowRunFilterState(type=FlowRunFilterStateType(any_=begun))
    pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[work_pool]))
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=states), work_pool_filter=pool
        )


def _again(client: "SyncPrefectClient", run: "FlowRun", why: str) -> bool:
    from prefect.states import AwaitingRetry, Cancelled, Crashed

    state = run.state
    if state is not None and state.is_cancelling():
        client.set_flow_run_state(run.id, Cancelled(message=why), force=True)
        return False
    if state is not None and state.is_final() and not state.is_crashed():
        return False
    if run.run_count >= MOST_RUNS:
        message = f"{why} It was begun {run.run_count} times; start it again by hand."
        client.set_flow_run_state(run.id, Crashed(message=message), force=True)
        # Prefect runs no hook for a state that is set from outside.
        alarms.tell(f"{run.name}: crashed. {message}", run)
        return False
    message = f"{why} It goes on from its last checkpoint."
    client.set_flow_run_state(run.id, AwaitingRetry(message=message), force=True)
    return True
