"""Runs that `make down` interrupts: they go on at the next `make up`."""

from collections.abc import Sequence

MESSAGE = "Interrupted by make down. It goes on at the next make up, from its last checkpoint."


def schedule_again(flow_run_ids: Sequence[str]) -> list[str]:
    """Schedule the runs that have not come to their end; the names of these.

    They are the same flow runs, with the same parameters, so that each finds its own checkpoint.
    """
    from prefect.client.orchestration import get_client
    from prefect.states import AwaitingRetry

    names = []
    with get_client(sync_client=True) as client:
        for flow_run_id in flow_run_ids:
            run = client.read_flow_run(flow_run_id)
            if run.state is None or run.state.is_running() or run.state.is_crashed():
                client.set_flow_run_state(run.id, AwaitingRetry(message=MESSAGE), force=True)
                names.append(run.name)
    return names
