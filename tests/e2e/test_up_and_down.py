"""`make up`, `make down` and what may happen in between, on real servers."""

import contextlib
import signal
import socket
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest

from tasks.servers import processes, running
from tests.e2e.operators import SECONDS, Operator, eventually, free_port
from tests.e2e.trainings import cancel

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3 * SECONDS)]


def pids(operator: Operator) -> dict[str, int]:
    from tasks.servers.supervisor import Supervisor

    statuses = Supervisor(running.folder_of(operator.home)).statuses()
    return {name: one.pid for name, one in statuses.items() if one.state == "RUNNING"}


def answers(operator: Operator) -> bool:
    from tasks.servers.answers import answers as answering

    pages = (f"{operator.prefect}/api/health", f"{operator.mlflow}/health")
    return all(map(answering, pages))


def as_ipv4(address: str) -> str:
    """An address as it is without IPv6, by which a process may speak to this machine as well."""
    found = ip_address(address)
    return str(getattr(found, "ipv4_mapped", None) or found)


def test_up_says_where_everything_is(operator: Operator) -> None:
    said = operator.up()
    assert f"Prefect  {operator.prefect}/deployments\n" in said
    assert f"MLflow   {operator.mlflow}/" in said
    assert f"Logs     {operator.home}/servers\n" in said
    assert answers(operator)
    assert operator.command("status").returncode == 0


def test_doing_up_twice_starts_nothing_twice(operator: Operator) -> None:
    before = pids(operator)
    assert set(before) == {"prefect", "mlflow", "worker", "watch"}
    operator.up()
    assert pids(operator) == before


def test_nobody_outside_of_this_machine_can_reach_it_or_is_spoken_to(operator: Operator) -> None:
    connections = [
        connection
        for process in processes.marked(operator.home)
        for connection in process.net_connections("inet")
    ]
    listening = {c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN}
    assert {operator.prefect_port, operator.mlflow_port} <= listening
    assert {as_ipv4(c.laddr.ip) for c in connections} == {"127.0.0.1"}
    assert {as_ipv4(c.raddr.ip) for c in connections if c.raddr} <= {"127.0.0.1"}


@pytest.mark.parametrize("name", ["mlflow", "prefect"])
def test_a_server_that_is_killed_comes_back_with_all_that_it_knew(
    operator: Operator, name: str
) -> None:
    before = pids(operator)
    deployment = operator.deployment("full-cycle")["id"]
    psutil.Process(before[name]).kill()
    eventually(lambda: pids(operator).get(name, before[name]) != before[name], operator.log)
    eventually(lambda: answers(operator), operator.log)
    assert operator.deployment("full-cycle")["id"] == deployment


def checkpoints(operator: Operator) -> set[Path]:
    return set(operator.home.glob("runs/*/*/checkpoints/[0-9]*"))


def run_folders(operator: Operator) -> set[Path]:
    return {path.parent for path in operator.home.glob("runs/*/*/run.json")}


def long_training(operator: Operator) -> str:
    """Start a meta-training that does not end by itself, and wait for its first checkpoint."""
    values = dict(operator.deployment("meta-train")["parameters"]["meta_training"])
    values |= {"meta_steps": 1_000_000, "segment_meta_steps": 20}
    before = checkpoints(operator)
    flow_run_id = operator.start("meta-train", meta_training=values)
    eventually(lambda: bool(checkpoints(operator) - before), operator.log)
    return flow_run_id


def runs_for_the(time: int, operator: Operator, flow_run_id: str) -> bool:
    found = operator.flow_run(flow_run_id)
    assert found["state_type"] not in {"COMPLETED", "FAILED"}, operator.log()
    return (found["run_count"], found["state_type"]) == (time, "RUNNING")


def test_a_run_goes_on_after_its_worker_was_killed_and_after_down_and_up(
    operator: Operator,
) -> None:
    flow_run_id = long_training(operator)
    folders = run_folders(operator)
    psutil.Process(pids(operator)["worker"]).kill()
    eventually(lambda: runs_for_the(2, operator, flow_run_id), operator.log)
    assert "Interrupted, to go on at the next make up: meta-train" in operator.down()
    assert processes.marked(operator.home) == []
    operator.up()
    eventually(lambda: runs_for_the(3, operator, flow_run_id), operator.log)
    done = checkpoints(operator)
    eventually(lambda: bool(checkpoints(operator) - done), operator.log)
    assert run_folders(operator) == folders
    cancelled(operator, flow_run_id)


def cancelled(operator: Operator, flow_run_id: str) -> None:
    """End a run that would keep the queue's only place from the tests that follow."""
    cancel(operator, flow_run_id)
    eventually(lambda: operator.state(flow_run_id) == "CANCELLED", operator.log)


def test_a_worker_that_is_killed_with_prefect_s_server_comes_back_with_it(
    operator: Operator,
) -> None:
    flow_run_id = long_training(operator)
    before = pids(operator)
    # The worker first, so that it finds no server.
    for name in ("worker", "prefect"):
        psutil.Process(before[name]).kill()

    def are_new() -> bool:
        now = pids(operator)
        return all(now.get(name, before[name]) != before[name] for name in ("worker", "prefect"))

    eventually(are_new, operator.log)
    eventually(lambda: runs_for_the(2, operator, flow_run_id), operator.log)
    cancelled(operator, flow_run_id)


def test_up_takes_up_what_ran_when_the_machine_went_out(operator: Operator) -> None:
    flow_run_id = long_training(operator)
    supervisor = psutil.Process(
        int((running.folder_of(operator.home) / "supervisor.pid").read_text())
    )
    # First who would start the others again.
    for process in (supervisor, *processes.marked(operator.home)):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    operator.up()
    eventually(lambda: runs_for_the(2, operator, flow_run_id), operator.log)
    cancelled(operator, flow_run_id)


def test_down_ends_everything_and_can_be_done_twice(operator: Operator) -> None:
    operator.down()
    assert processes.marked(operator.home) == []
    for port in (operator.prefect_port, operator.mlflow_port):
        assert not processes.is_taken(port)
    assert operator.down() == "Nothing is up.\n"


def test_a_taken_port_is_one_line_and_nothing_is_left_running(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        operator = Operator(tmp_path, free_port(), port)
        run = operator.command("up")
    assert run.returncode == 1
    assert run.stderr.startswith(f"Port {port} is taken by process ")
    assert len(run.stderr.splitlines()) == 1
    assert processes.marked(tmp_path) == []


def test_a_server_that_dies_at_once_is_one_line_and_nothing_is_left_running(
    tmp_path: Path,
) -> None:
    operator = Operator(tmp_path, free_port(), free_port())
    run = operator.command("up", MLFLOW_BACKEND_STORE_URI="nonsense://nowhere")
    assert run.returncode == 1
    assert run.stderr.startswith("mlflow has died: ")
    assert len(run.stderr.splitlines()) == 1
    assert processes.marked(tmp_path) == []


def test_up_mends_what_a_killed_supervisor_has_left(operator: Operator) -> None:
    operator.up()
    left = processes.marked(operator.home)
    pid = int((running.folder_of(operator.home) / "supervisor.pid").read_text())
    psutil.Process(pid).send_signal(signal.SIGKILL)
    operator.up()
    assert answers(operator)
    assert not any(process.is_running() for process in left)
