"""One flow run in Prefect that several processes work on: what each of them does.

All are given the id of the run. Process 0 runs it for Prefect; the others ask Prefect what it was
given, and follow (`tasks.following`).
"""

import os
import runpy
import sys
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tasks import assembly, processes
from tasks.conf_errors import ConfError
from tasks.conf_files import SECTIONS
from tasks.confs import Conf
from tasks.following import follow
from tasks.hosts import NUMBER
from tasks.processes import REFUSED
from tasks.servers.interrupted import crashed_by_cancelling

if TYPE_CHECKING:
    from prefect import Flow

ENGINE = "prefect.engine"
"""What Prefect's own command of a flow run is: `python -m prefect.engine`."""


def work(flow_run_id: str) -> None:
    """Join the others that the environment names, if any, and run the flow or follow."""
    flow, values = _given(UUID(flow_run_id))
    sections = [name for name in flow.parameters.properties if name in SECTIONS]
    with processes.ending_together():
        try:
            conf = Conf(**{name: values[name] for name in sections if name in values})
            assembly.checked(conf, sections, flow.fn.__name__)
        except ConfError as error:
            sys.exit(_refuse(UUID(flow_run_id), error))
        found = processes.company()
        if found is not None and not found.leads:
            follow(found, conf)
        sys.argv = [ENGINE, flow_run_id]
        try:
            runpy.run_module(ENGINE, run_name="__main__")
        except BaseException:
            _note_cancellation(UUID(flow_run_id))
            raise


def _given(flow_run_id: UUID) -> "tuple[Flow[..., Any], dict[str, Any]]":
    """Return the flow of a run in Prefect, and the values that it was given."""
    from prefect.flow_engine import load_flow_and_flow_run

    flow_run, flow = load_flow_and_flow_run(flow_run_id)
    return flow, flow.validate_parameters(flow_run.parameters or {})


def _note_cancellation(flow_run_id: UUID) -> None:
    """Make a run cancelled that was to be, and that Prefect's engine calls crashed.

    It heeds the wish only where SIGTERM is handled by itself, and while several processes take
    meta-steps the signal is handled by `tasks.stopping`.
    """
    from prefect.client.orchestration import get_client
    from prefect.states import Cancelled

    with get_client(sync_client=True) as client:
        if crashed_by_cancelling(client.read_flow_run_states(flow_run_id)):
            cancelled: Any = Cancelled(message="All processes have ended, with a checkpoint.")
            client.set_flow_run_state(flow_run_id, cancelled, force=True)


def _refuse(flow_run_id: UUID, error: ConfError) -> int:
    """Say what is wrong here and, if this is process 0, in Prefect; the exit status."""
    sys.stderr.writelines(line + "\n" for line in error.lines)
    if os.environ.get(NUMBER, "0") == "0":
        from prefect.client.orchestration import get_client
        from prefect.states import Failed

        with get_client(sync_client=True) as client:
            failed: Any = Failed(message="\n".join(error.lines))
            client.set_flow_run_state(flow_run_id, failed, force=True)
    return REFUSED
