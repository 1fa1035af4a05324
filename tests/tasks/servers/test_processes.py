import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tasks.servers import processes

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""
OBEDIENT = 'import time; print("ready", flush=True); time.sleep(600)'


@contextmanager
def running(code: str, **variables: str) -> Iterator[psutil.Process]:
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()
    try:
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


def test_a_port_is_taken_while_somebody_listens_and_free_again_after() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert processes.is_taken(port)
        assert processes.who_listens(port).startswith(f"process {os.getpid()}, ")
    assert not processes.is_taken(port)


def test_processes_of_another_home_are_not_ours(tmp_path: Path) -> None:
    ours, others = str(tmp_path / "a"), str(tmp_path / "b")
    with running(OBEDIENT, LOPT_SERVERS=ours) as mine, running(OBEDIENT, LOPT_SERVERS=others):
        assert processes.marked(tmp_path / "a") == [mine]


def test_flow_runs_are_known_by_their_processes() -> None:
    with running(OBEDIENT, PREFECT__FLOW_RUN_ID="0a1b") as flow, running(OBEDIENT) as other:
        assert processes.flow_runs([flow, other, flow]) == ["0a1b"]
        found = processes.flow_processes(os.getpid())
        assert flow in found
        assert other not in found


@pytest.mark.parametrize(("code", "obeys"), [(OBEDIENT, True), (STUBBORN, False)])
def test_a_process_is_asked_to_end_before_it_is_made_to(code: str, obeys: bool) -> None:
    with running(code) as process:
        assert processes.end([process], seconds=0.5 if not obeys else 10) is obeys
        assert not process.is_running()


def test_ending_what_has_ended_already_harms_nobody() -> None:
    with running(OBEDIENT) as process:
        process.kill()
        process.wait()
        assert processes.end([process])


def test_a_worker_that_is_gone_runs_no_flows() -> None:
    with running(OBEDIENT) as process:
        pass
    assert processes.flow_processes(process.pid) == []
