"""Runs whose process has died: found, and taken up again.

Prefect's flows send heartbeats (`PREFECT_FLOWS_HEARTBEAT_FREQUENCY`, to be the same for the workers
and for who watches); a process that died with its worker sends none. One that died alone, or was
asked to end from outside of Prefect, its worker calls crashed. See
https://docs.prefect.io/v3/advanced/detect-zombie-flows; Prefect's own automation would mark
such a run as crashed, begin it as often as it dies, and take a restart of the server for silence.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from tasks.deployment_confs import WorkPoolConf
from tasks.servers import interrupted

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

SILENT_BEATS = 5
"""How many heartbeats may be missing."""
LOOK_SECONDS = 15
LONGEST_GAP = 4 * LOOK_SECONDS
"""After a longer time between two looks everybody is given all the time anew: this process, or the
server, has slept."""
HEARTBEAT = "prefect.flow-run.heartbeat"


class NoHeartbeatsError(RuntimeError):
    """Flows send no heartbeats here; says what to set."""


class Sign(NamedTuple):
    """The last sign of life of a run, and the second (of any one clock) it was first seen at."""

    sign: str
    seen: float


def noted(known: Mapping[str, Sign], signs: Mapping[str, str], now: float) -> dict[str, Sign]:
    """Return what is known of the runs that work now, given the last sign of each.

    **Example**

    ```python
    noted({"a": Sign("7", seen=0)}, {"a": "7", "b": "1"}, now=30)
    # {'a': Sign(sign='7', seen=0), 'b': Sign(sign='1', seen=30)}
    ```
    """
    fresh = {run: Sign(sign, now) for run, sign in signs.items()}
    return {
        run: known[run] if run in known and known[run].sign == one.sign else one
        for run, one in fresh.items()
    }


def silent(known: Mapping[str, Sign], now: float, seconds: float) -> list[str]:
    """Return the runs that gave no new sign for so long."""
    return [run for run, one in known.items() if now - one.seen > seconds]


def watch(work_pool: WorkPoolConf, seconds: float) -> NoReturn:
    """Look at the pool's runs for ever, and schedule again those that are dead.

    These are the runs without a sign for so many seconds, and those that Prefect has found
    crashed. While the server does not answer nobody is silent: all begin anew when it does.
    """
    from httpx import HTTPError

    known: dict[str, Sign] = {}
    looked = time.monotonic()
    while True:
        try:
            if time.monotonic() - looked > LONGEST_GAP:
                known = {}
            known = _look(work_pool, known, seconds)
        except HTTPError as error:
            known = {}
            _say(f"Prefect's server does not answer: {error}")
        looked = time.monotonic()
        time.sleep(LOOK_SECONDS)


def silent_seconds() -> float:
    """Return how long a run may be silent, by the heartbeats that this environment asks for.

    Raises `NoHeartbeatsError` where it asks for none.
    """
    from prefect.settings import get_current_settings

    frequency = get_current_settings().flows.heartbeat_frequency
    if frequency is None:
        raise NoHeartbeatsError(
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY is none, and without heartbeats nobody knows which "
            "flows live. Give it the seconds (30 or more) that the workers have."
        )
    return float(SILENT_BEATS * frequency)


def _look(work_pool: WorkPoolConf, known: Mapping[str, Sign], seconds: float) -> dict[str, Sign]:
    from prefect.client.orchestration import get_client

    is_near = work_pool.kind == "process"
    runs = {str(run.id): run for run in interrupted.unfinished(work_pool.name, pending=is_near)}
    with get_client(sync_client=True) as client:
        signs = {one: _sign(client, run) for one, run in runs.items()}
    now = time.monotonic()
    noticed = noted(known, signs, now)
    dead = silent(noticed, now, seconds)
    _take_up([runs[one] for one in dead], f"Its process has given no sign for {seconds:.0f} s.")
    _take_up(interrupted.crashed(work_pool.name), "Its process was lost.")
    return {run: one for run, one in noticed.items() if run not in dead}


def _take_up(runs: "Sequence[FlowRun]", why: str) -> None:
    for name in interrupted.schedule_unchanged(runs, why):
        _say(f"{name} is scheduled again. {why}")


def _sign(client: "SyncPrefectClient", run: "FlowRun") -> str:
    """Return what changes while a run lives: its last heartbeat, and the state it is in."""
    from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter

    wanted = EventFilter(
        event=EventNameFilter(name=[HEARTBEAT]),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
    )
    found = client.read_events(wanted, limit=1).events
    return f"{run.state_id} {found[0].id if found else None}"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
