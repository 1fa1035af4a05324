"""Without network: one clear error within seconds."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lopt.datasets import DataSetError, prepare
from lopt.datasets.network import why_unreachable


@pytest.fixture
def silent_host() -> Iterator[str]:
    """The URL of a host that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


@pytest.fixture
def no_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*arguments: object, **options: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.fixture
def silent_name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    test_is_over = threading.Event()

    def look_up(*arguments: object, **options: object) -> None:
        test_is_over.wait()
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield
    test_is_over.set()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.mark.usefixtures("no_name_server")
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_the_error_names_what_can_be_prepared_offline(name: str, tmp_path: Path) -> None:
    message = (
        f"{name} has to be downloaded, but http.* cannot be reached: .*Name or service not known.*"
        "Without network these can be prepared: digits .*fashion_mnist, from the four files of "
        "Debian's package dataset-fashion-mnist, which are not in .*/empty"
    )
    with pytest.raises(DataSetError, match=message):
        prepare(name, tmp_path, fashion_mnist_files=tmp_path / "empty")
    assert [path.name for path in (tmp_path / name).iterdir()] == [".lock"]


@pytest.mark.usefixtures("silent_name_server")
def test_a_name_server_that_does_not_answer_is_not_waited_for() -> None:
    began = time.monotonic()
    reason = why_unreachable("http://data.example/", timeout_seconds=0.3)
    assert reason == "no answer within 0.3 seconds"
    assert time.monotonic() - began < 2


def test_a_host_that_does_not_answer_is_not_waited_for(silent_host: str) -> None:
    began = time.monotonic()
    assert why_unreachable(silent_host, timeout_seconds=0.3) is not None
    assert time.monotonic() - began < 2


def test_a_refused_connection_is_told_as_it_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "refused" in str(why_unreachable(f"http://127.0.0.1:{port}/"))
