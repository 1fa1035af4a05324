"""`python -m tasks.servers.launch NAME COMMAND...`: become a program, after its predecessor.

A program that was killed leaves behind what it had started: a server's process that still has
the port, or flows that no worker knows of any more. These end first.
"""

import os
import sys
import time
from pathlib import Path

from tasks import settings
from tasks.servers import processes
from tasks.servers.answers import PAUSE_SECONDS, answers
from tasks.servers.conf import read_servers
from tasks.servers.programs import NAME_MARK, PREFECT, STOP_VARIABLE, WORKER

WHY = "Its worker was killed."


def main() -> None:
    """End what is left of the predecessor, and become the program."""
    name, *command = sys.argv[1:]
    left = processes.marked(settings.home(), name)
    flow_runs = processes.flow_runs(left)
    processes.end(left, seconds=float(os.environ[STOP_VARIABLE]))
    if name == WORKER:
        wait_for_prefect(f"{os.environ['PREFECT_API_URL']}/health", read_servers().start_seconds)
        _take_up_again(flow_runs)
    if name == PREFECT:
        _remove_lock()
    os.environ[NAME_MARK] = name
    os.execv(command[0], command)


def wait_for_prefect(page: str, seconds: float) -> None:
    """Wait until Prefect's server answers, which may have been killed as well.

    Ends with one line after so many seconds; supervisord then has it tried again.
    """
    end = time.monotonic() + seconds
    while not answers(page):
        if time.monotonic() > end:
            sys.exit(f"{page} does not answer after {seconds:.0f} s; prefect.log says why.")
        time.sleep(PAUSE_SECONDS)


def _remove_lock() -> None:
    """Remove what a server that was killed while it wrote a lease has left.

    Prefect waits for the process whose number is in it, which another may have by now.
    """
    folder = Path(os.environ["PREFECT_HOME"]) / settings.LEASES_FOLDER
    (folder / settings.LEASES_LOCK).unlink(missing_ok=True)


def _take_up_again(flow_runs: list[str]) -> None:
    """Schedule again what no process works on: this worker is the pool's only one."""
    from tasks.deployment_confs import read_deployments
    from tasks.servers import interrupted

    begun = interrupted.unfinished(read_deployments().work_pool.name)
    for name in interrupted.schedule_again([*flow_runs, *(str(run.id) for run in begun)], WHY):
        sys.stdout.write(f"{name} was interrupted and is scheduled again\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
