"""Processes of this machine: who has a port, and which are ours."""

import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from tasks.servers.programs import HOST, MARK, NAME_MARK

FLOW_RUN = "PREFECT__FLOW_RUN_ID"
SECONDS_TO_END = 10.0


def is_taken(port: int) -> bool:
    """Return whether the port cannot be listened at."""
    with socket.socket() as tried:
        # As the servers do it: a connection that has just been closed does not count.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((HOST, port))
        except OSError:
            return True
    return False


def who_listens(port: int) -> str:
    """Say which process listens at a port, as far as this user may know."""
    try:
        found = [c.pid for c in psutil.net_connections("tcp") if _listens(c, port) and c.pid]
        return f"process {found[0]}, {psutil.Process(found[0]).name()}" if found else UNKNOWN
    except psutil.Error:
        return UNKNOWN


UNKNOWN = "another program"


def marked(home: Path, program: str | None = None) -> list[psutil.Process]:
    """Return the processes that `make up` of this home has started, directly or not.

    With a name only those of one program, which for the worker are its flows as well.
    """
    wanted = {MARK: str(home)} | ({NAME_MARK: program} if program else {})
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and wanted.items() <= _environ(process).items()
    ]


def flow_runs(processes: Sequence[psutil.Process]) -> list[str]:
    """Return the ids of the flow runs that processes work on."""
    named = [_environ(process).get(FLOW_RUN) for process in processes]
    return list(dict.fromkeys(flow_run_id for flow_run_id in named if flow_run_id))


def flow_processes(worker: int) -> list[psutil.Process]:
    """Return the processes that the worker runs flows in; what these have started they end."""
    try:
        children = psutil.Process(worker).children()
    except psutil.NoSuchProcess:
        return []
    return [child for child in children if FLOW_RUN in _environ(child)]


def end(processes: Sequence[psutil.Process], seconds: float = SECONDS_TO_END) -> bool:
    """Ask processes to end, and after some time make them; whether all ended when asked.

    psutil remembers when each began, so that no other of the same number is meant.
    """
    for process in processes:
        _try(process.terminate)
    _, left = psutil.wait_procs(processes, seconds)
    for process in left:
        _try(process.kill)
    psutil.wait_procs(left, SECONDS_TO_END)
    return not left


def _try(signal: Callable[[], None]) -> None:
    try:
        signal()
    except psutil.NoSuchProcess:
        return


def _environ(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def _listens(connection: object, port: int) -> bool:
    address = getattr(connection, "laddr", None)
    return bool(
        address and address.port == port and getattr(connection, "status", "") == psutil.CONN_LISTEN
    )
