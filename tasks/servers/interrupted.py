"""Runs that were interrupted from outside, by `make down` or a killed worker: they go on.

They are the same flow runs with the same parameters, so that each finds its own checkpoint.
"""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from tasks import alarms

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.objects import FlowRun, State

MOST_RUNS = 5
"""How often a run is begun: one that takes the worker with it each time is not tried for ever."""
GIVEN_UP = "GivenUp"
"""Name of the state, of the type CRASHED, of a run that is not begun again."""
RECENT = timedelta(hours=1)
"""How long ago a run may have crashed that is still to go on by itself."""


def schedule_again(flow_run_ids: "Iterable[str | UUID]", why: str) -> list[str]:
    """Schedule these runs once more, but for those that have come to their end; their names.

    Raises what Prefect's client raises where the server does not answer.
    """
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        found = [_read(client, one) for one in dict.fromkeys(flow_run_ids)]
        return [run.name for run in found if run is not None and _again(client, run, why)]


def schedule_unchanged(runs: "Iterable[FlowRun]", why: str) -> list[str]:
    """Do the same with those that are still in the state in which they were seen.

    Others were taken up meanwhile, or ended, or somebody has removed them.
    """
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        pairs = [(run, _read(client, run.id)) for run in runs]
        same = [now for seen, now in pairs if now is not None and now.state_id == seen.state_id]
        return [run.name for run in same if _again(client, run, why)]


def unfinished(work_pool: str, *, pending: bool = True) -> "list[FlowRun]":
    """Return the runs that the pool's workers have begun and not ended.

    Those that are pending wait for a process, which on a cluster may take its time.
    """
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType

    begun = [StateType.RUNNING, StateType.CANCELLING, *[StateType.PENDING] * pending]
    states = FlowRunFilterState(type=FlowRunFilterStateType(any_=begun))
    return _of_pool(work_pool, FlowRunFilter(state=states))


def crashed(work_pool: str) -> "list[FlowRun]":
    """Return the pool's runs whose process was lost a short while ago, as Prefect found out itself.

    A worker that lives notices a flow that is killed, and a flow that it is asked to end.
    """
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterEndTime,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType

    states = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CRASHED]))
    recent = FlowRunFilterEndTime(after_=datetime.now(UTC) - RECENT)
    found = _of_pool(work_pool, FlowRunFilter(state=states, end_time=recent))
    return [run for run in found if run.state_name != GIVEN_UP]


def crashed_by_cancelling(states: "Sequence[State]") -> bool:
    """Tell whether a run, given all its states, was being cancelled when it crashed.

    Prefect's engine says so of a process that ends by the signal of its cancellation, unless the
    wish has reached it another way before.

    **Example**

    ```python
    crashed_by_cancelling([Running(), Cancelling(), Crashed()])  # True
    ```
    """
    return len(states) > 1 and states[-2].is_cancelling() and states[-1].is_crashed()


def _of_pool(work_pool: str, wanted: "FlowRunFilter") -> "list[FlowRun]":
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName

    pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[work_pool]))
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(flow_run_filter=wanted, work_pool_filter=pool)


def _read(client: "SyncPrefectClient", flow_run_id: "str | UUID") -> "FlowRun | None":
    from prefect.exceptions import ObjectNotFound

    try:
        return client.read_flow_run(UUID(str(flow_run_id)))
    except ObjectNotFound:
        return None


def _again(client: "SyncPrefectClient", run: "FlowRun", why: str) -> bool:
    from prefect.states import AwaitingRetry, Cancelled

    state = run.state
    if state is None or state.is_scheduled():
        return False
    if state.is_final() and not state.is_crashed():
        return False
    states = client.read_flow_run_states(run.id)
    if state.is_cancelling() or crashed_by_cancelling(states):
        client.set_flow_run_state(run.id, Cancelled(message=why), force=True)
        return False
    if (begun := _times_begun(run, states)) >= MOST_RUNS:
        _give_up(client, run, f"{why} It was begun {begun} times; start it again by hand.")
        return False
    message = f"{why} It goes on from its last checkpoint."
    client.set_flow_run_state(run.id, AwaitingRetry(message=message), force=True)
    return True


def _give_up(client: "SyncPrefectClient", run: "FlowRun", words: str) -> None:
    from prefect.states import Crashed

    from tasks.nights import how_to_go_on

    message = f"{words} {how_to_go_on(run)}".rstrip()
    given_up = Crashed(name=GIVEN_UP, message=message)
    client.set_flow_run_state(run.id, given_up, force=True)
    # Prefect runs no hook for a state that is set from outside.
    reason = alarms.tell(f"{run.name}: crashed. {message}", run)
    lines = [f"{run.name}: {message}", *([reason] if reason else [])]
    sys.stdout.writelines(line + "\n" for line in lines)


def _times_begun(run: "FlowRun", states: "Sequence[State]") -> int:
    """Return how often it ran, or was scheduled, if that is more: it may die before it runs."""
    return max(run.run_count, 1 + sum(state.name == "AwaitingRetry" for state in states))
