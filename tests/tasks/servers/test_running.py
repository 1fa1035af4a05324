import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import settings
from tasks.servers import running
from tasks.servers.running import Addresses

FOUND = Addresses(prefect="http://127.0.0.1:4300", mlflow="http://127.0.0.1:5300")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    running.folder_of(tmp_path).mkdir()
    FOUND.write(running.folder_of(tmp_path))
    others = ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "PREFECT_HOME")
    for name in dict.fromkeys((*others, *settings.defaults())):
        # So that what the test sets goes away with it.
        monkeypatch.setenv(name, os.environ.get(name, ""))
        monkeypatch.delenv(name)
    monkeypatch.setenv("LOPT_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def supervised(home: Path) -> Iterator[Path]:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(running.folder_of(home) / running.SOCKET))
        listening.listen()
        yield home


def test_servers_that_are_up_are_found(supervised: Path) -> None:
    assert running.addresses(supervised) == FOUND


def test_what_a_killed_supervisor_has_left_is_not_taken_for_servers(home: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(running.folder_of(home) / running.SOCKET))
    assert (running.folder_of(home) / running.SOCKET).exists()
    assert running.addresses(home) is None


def test_a_home_without_servers_has_no_addresses(tmp_path: Path) -> None:
    assert running.addresses(tmp_path) is None


def test_flows_from_a_shell_use_the_servers_that_are_up(supervised: Path) -> None:
    settings.set_environment()
    assert os.environ["PREFECT_API_URL"] == "http://127.0.0.1:4300/api"
    assert settings.tracking_uri() == "http://127.0.0.1:5300"


def test_flows_from_a_shell_need_no_servers(home: Path) -> None:
    settings.set_environment()
    assert "PREFECT_API_URL" not in os.environ
    assert settings.tracking_uri() == f"sqlite:///{home / 'mlflow.db'}"


def test_servers_that_the_user_names_go_before_those_that_are_up(
    supervised: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example")
    settings.set_environment()
    assert settings.tracking_uri() == "http://mlflow.example"
