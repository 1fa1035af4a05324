import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.deployment_confs import deployments_file
from tasks.locks import locked
from tasks.servers import commands, programs, running, supervisor
from tasks.servers.commands import ServersError
from tasks.servers.conf import ServersConf


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home, and an environment that is put back, for `up` changes it."""
    before = dict(os.environ)
    # pytest's own folders have names too long for a socket in them.
    with tempfile.TemporaryDirectory(prefix="lopt-") as folder:
        monkeypatch.setenv("LOPT_HOME", folder)
        yield Path(folder)
    os.environ.clear()
    os.environ.update(before)


def test_a_taken_port_is_named_with_who_has_it_and_another_to_take(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        expected = f"Port {port} is taken by process {os.getpid()}, .*LOPT_MLFLOW_PORT={port + 1} "
        with pytest.raises(ServersError, match=expected):
            commands.up(ServersConf(prefect_port=1 + port % 65535, mlflow_port=port))
    assert not running.is_supervised(home)


def test_two_cannot_start_or_end_the_servers_at_once(home: Path) -> None:
    running.folder_of(home).mkdir()
    with locked(running.folder_of(home) / "lock", wait=True):
        for command in (commands.up, commands.down):
            with pytest.raises(
                ServersError, match=r"Another make up or make down of .* is at work"
            ):
                command(ServersConf())


def test_servers_that_are_up_are_not_moved_to_other_ports(home: Path) -> None:
    folder = running.folder_of(home)
    folder.mkdir()
    running.Addresses("http://127.0.0.1:4300", "http://127.0.0.1:5300").write(folder)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / running.SOCKET))
        listening.listen()
        with pytest.raises(ServersError, match=r"are up at http:.*:4300 .*make down first"):
            commands.up(ServersConf())


def test_servers_that_are_up_take_from_no_other_work_pool(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would start a worker for it, and `make up` would wait for one."""
    conf, folder = ServersConf(), running.folder_of(home)
    folder.mkdir()
    running.Addresses(conf.prefect_url, conf.mlflow_url).write(folder)
    text = supervisor.configuration(folder, programs.programs(conf, "lopt"))
    supervisor.configuration_file(folder).write_text(text)
    declared, ours = tmp_path / "deployments.yaml", deployments_file().read_text()
    monkeypatch.setenv("LOPT_DEPLOYMENTS", str(declared))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / running.SOCKET))
        listening.listen()
        declared.write_text(ours.replace("name: lopt\n", "name: another\n"))
        with pytest.raises(ServersError, match=r"another work pool than another .*make down first"):
            commands.up(conf)
        declared.write_text(ours)
        # The same: what is asked next is supervisord, which is none here.
        monkeypatch.setattr(commands, "_come_up", lambda *_: None)
        commands.up(conf)


def test_nothing_that_is_up_can_be_ended_twice(capsys: pytest.CaptureFixture[str]) -> None:
    commands.down(ServersConf())
    commands.down(ServersConf())
    assert capsys.readouterr().out == "Nothing is up.\n" * 2
    assert not commands.status()


def command(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": "components:.", **variables}
    line = [sys.executable, "-m", "tasks.servers", *arguments]
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False)


def test_a_folder_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    run = command("up", LOPT_HOME=str(tmp_path / "file" / "home"))
    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1
    assert "home cannot be written to: Not a directory. Set LOPT_HOME" in run.stderr


def test_a_port_that_is_none_is_one_line() -> None:
    run = command("up", LOPT_PREFECT_PORT="70000")
    assert run.returncode == 2
    assert run.stderr == (
        "prefect_port: 70000 is not allowed; allowed: an integer from 1 to 65535\n"
    )


def test_deployments_are_declared_only_where_a_server_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(ServersError, match="make up, or set PREFECT_API_URL"):
        commands.declare()


def test_prefect_is_imported_only_when_the_environment_says_which_server_to_ask() -> None:
    """It reads its settings then, and would start a server of its own on the same database."""
    code = "import sys, tasks.servers.__main__, tasks.servers.commands; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "tasks.servers.interrupted" in loaded
    assert "prefect" not in loaded
