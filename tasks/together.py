"""A run of a deployment in several processes: `python -m tasks.together [--processes N]`.

It takes the place of Prefect's own command where a worker, a job of Kubernetes or a step of SLURM
starts a flow run. With `--processes` this one is process 0 and starts the others here; otherwise
the environment says who is who (`tasks.hosts`).
"""

import argparse
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tasks import hosts, settings
from tasks.hosts import COORDINATOR, NUMBER, PROCESSES

FLOW_RUN = "PREFECT__FLOW_RUN_ID"
"""Variable by which Prefect tells a process which flow run it is to work on."""
MODULE = "tasks.together"
MOST_PROCESSES = 64
"""On one host: more than anybody has GPUs there."""
END_SECONDS = 30
"""How long the others may take to end after process 0 has: longer than it waits for them."""


def command(count: int) -> list[str]:
    """Return the command of a flow run that is to have so many processes on its worker's host.

    **Example**

    ```python
    command(2)  # [".../python", "-m", "tasks.together", "--processes", "2"]
    ```
    """
    return [sys.executable, "-m", MODULE, "--processes", str(count)]


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("--processes", type=int, metavar="N", help="how many there are to be here")
    count = parser.parse_args().processes
    if FLOW_RUN not in os.environ:
        sys.exit(f"{FLOW_RUN} is not set: this is a command for a worker of Prefect to start.")
    if count is not None and not 1 <= count <= MOST_PROCESSES:
        sys.exit(f"--processes: {count} is not allowed; allowed: 1 to {MOST_PROCESSES}")
    if count is not None and (named := hosts.named()):
        sys.exit(f"--processes: not allowed where {named[0]} is set; allowed: one of the two")
    # Prefect reads its settings when it is imported, as all that follows does.
    settings.set_environment()
    from tasks.shared_flow_runs import work

    with _others(count or 1):
        work(os.environ[FLOW_RUN])


@contextmanager
def _others(count: int) -> Iterator[None]:
    """Make this process the first of so many on this host, and start the others."""
    if count == 1:
        yield
        return
    said = {COORDINATOR: f"127.0.0.1:{_free_port()}", PROCESSES: str(count)}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", MODULE], env={**os.environ, **said, NUMBER: str(number)}
        )
        for number in range(1, count)
    ]
    os.environ.update({**said, NUMBER: "0"})
    try:
        yield
    finally:
        for other in started:
            _end(other)


def _free_port() -> int:
    """Return a port that nobody on this machine listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _end(other: "subprocess.Popen[bytes]") -> None:
    """Wait for a process that has been told of the end, and make it if it does not."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        other.wait(END_SECONDS)
    other.kill()
    other.wait()


if __name__ == "__main__":
    main()
