"""Runs whose process has died with its worker: found by their silence, and taken up again.

Prefect's flows send heartbeats (`PREFECT_FLOWS_HEARTBEAT_FREQUENCY`); a process that was killed
sends none. For workers that are not those of `make up`, which finds the dead by itself.
See https://docs.prefect.io/v3/advanced/detect-zombie-flows; Prefect's own automation would mark
such a run as crashed, begin it as often as it dies, and take a restart of the server for silence.
"""

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from tasks.deployment_confs import WorkPoolConf
from tasks.servers import interrupted

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

SILENT_SECONDS = 150
"""Five heartbeats of the 30 seconds that compose.yaml sets, the fewest that Prefect allows."""
LOOK_SECONDS = 15
HEARTBEAT = "prefect.flow-run.heartbeat"


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


def silent(known: Mapping[str, Sign], now: float, seconds: float = SILENT_SECONDS) -> list[str]:
    """Return the runs that gave no new sign for so long."""
    return [run for run, one in known.items() if now - one.seen > seconds]


def watch(work_pool: WorkPoolConf, seconds: float = SILENT_SECONDS) -> NoReturn:
    """Look at the pool's runs for ever, and schedule again those that have been silent too long.

    While the server does not answer nobody is silent: all begin anew when it does.
    """
    from httpx import HTTPError

    known: dict[str, Sign] = {}
    while True:
        try:
            known = _look(work_pool, known, seconds)
        except HTTPError as error:
            known = {}
            _say(f"Prefect's server does not answer: {error}")
        time.sleep(LOOK_SECONDS)


def _look(work_pool: WorkPoolConf, known: Mapping[str, Sign], seconds: float) -> dict[str, Sign]:
    from prefect.client.orchestration import get_client

    is_near = work_pool.kind == "process"
    runs = interrupted.unfinished(work_pool.name, pending=is_near)
    with get_client(sync_client=True) as client:
        signs = {str(run.id): _sign(client, run) for run in runs}
    now = time.monotonic()
    noticed = noted(known, signs, now)
    dead = silent(noticed, now, seconds)
    why = f"Its process has given no sign for {seconds:.0f} s."
    for name in interrupted.schedule_again(dead, why):
        _say(f"{name} was silent and is scheduled again")
    return {run: one for run, one in noticed.items() if run not in dead}


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
