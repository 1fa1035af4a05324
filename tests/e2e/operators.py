"""What an operator has: a home, two ports, `make up` and `make down`, and Prefect's API."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx

DECLARED = Path(__file__).with_name("deployments.yaml")
SECONDS = 1800.0
"""What anything may take on a machine that is busy with other work."""


class Operator(NamedTuple):
    """Servers of a home, up or not."""

    home: Path
    prefect_port: int
    mlflow_port: int
    given: Mapping[str, str] = MappingProxyType({})
    """What the environment of all commands has besides."""

    @property
    def prefect(self) -> str:
        return f"http://127.0.0.1:{self.prefect_port}"

    @property
    def mlflow(self) -> str:
        return f"http://127.0.0.1:{self.mlflow_port}"

    def command(self, name: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Do `make up`, `make down` or `make status`."""
        return subprocess.run(
            [sys.executable, "-m", "tasks.servers", name],
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * SECONDS,
        )

    def environment(self, **variables: str) -> dict[str, str]:
        """Return what a shell of the operator's has in its environment."""
        outside = ("LOPT", "MLFLOW", "PREFECT")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(outside)}
        return {
            **kept,
            "LOPT_HOME": str(self.home),
            "LOPT_PREFECT_PORT": str(self.prefect_port),
            "LOPT_MLFLOW_PORT": str(self.mlflow_port),
            "LOPT_START_SECONDS": str(SECONDS),
            "LOPT_DEPLOYMENTS": str(DECLARED),
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
            **self.given,
            **variables,
        }

    def up(self) -> str:
        run = self.command("up")
        assert run.returncode == 0, run.stderr
        return run.stdout

    def down(self) -> str:
        run = self.command("down")
        assert run.returncode == 0, run.stderr
        return run.stdout

    def ask(self, path: str, **filters: Any) -> Any:
        """Ask Prefect's API by a POST with these fields."""
        return self.request("POST", path, filters).json()

    def request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Ask Prefect's API, again where it is too busy, as Prefect's own client does."""
        for _ in range(10):
            found = httpx.request(method, f"{self.prefect}/api/{path}", json=body, timeout=120)
            if found.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(5)
        return found.raise_for_status()

    def deployment(self, flow: str, name: str = "tiny") -> dict[str, Any]:
        found = self.ask("deployments/filter", flows={"name": {"any_": [flow]}})
        (one,) = [dict(one) for one in found if one["name"] == name]
        return one

    def start(self, flow: str, name: str = "tiny", **parameters: Any) -> str:
        """Start a deployment as its form does; the id of the flow run."""
        path = f"deployments/{self.deployment(flow, name)['id']}/create_flow_run"
        return str(self.ask(path, parameters=parameters)["id"])

    def flow_run(self, flow_run_id: str) -> dict[str, Any]:
        end = time.monotonic() + SECONDS
        while True:
            try:
                found = httpx.get(f"{self.prefect}/api/flow_runs/{flow_run_id}", timeout=60)
                found.raise_for_status()
                return dict(found.json())
            except (httpx.TransportError, httpx.HTTPStatusError):
                # Tests kill the server, which then takes a while to come back.
                if time.monotonic() > end:
                    raise
                time.sleep(1)

    def state(self, flow_run_id: str) -> str:
        return str(self.flow_run(flow_run_id)["state_type"])

    def warnings(self, flow_run_id: str) -> list[str]:
        """What the page of a flow run shows as a warning or worse."""
        only = {"flow_run_id": {"any_": [flow_run_id]}, "level": {"ge_": 30}}
        return [str(one["message"]) for one in self.ask("logs/filter", logs=only)]

    def tables(self, flow_run_id: str, key: str) -> list[dict[str, Any]]:
        """The rows of a table on the page of a flow run."""
        found = self.ask("artifacts/filter", flow_runs={"id": {"any_": [flow_run_id]}})
        (data,) = [one["data"] for one in found if one["key"] == key]
        return [dict(row) for row in json.loads(data)]

    def progress(self, flow_run_id: str) -> dict[str, float]:
        """How far each stage is by the bars on the page of a flow run, in percent."""
        found = self.ask("artifacts/filter", flow_runs={"id": {"any_": [flow_run_id]}})
        bars = [one for one in found if one["type"] == "progress"]
        return {one["key"].removeprefix("progress-"): float(one["data"]) for one in bars}

    def log(self) -> str:
        """The ends of all logs, for whoever wants to know why it went wrong."""
        logs = sorted((self.home / "servers").glob("*.log"))
        return "\n".join(f"== {log.name}\n{log.read_text()[-4000:]}" for log in logs)


@contextmanager
def brought_up(given: Mapping[str, str]) -> Iterator[Operator]:
    """An operator of a new home who has done `make up`, and does `make down` in the end."""
    # pytest's own folders have names too long for a socket on some machines.
    with tempfile.TemporaryDirectory(prefix="lopt-") as home:
        found = Operator(Path(home), free_port(), free_port(), given)
        try:
            found.up()
            yield found
        finally:
            found.down()


def eventually(
    is_so: Callable[[], bool], say: Callable[[], str] = str, seconds: float = SECONDS
) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, say()
        time.sleep(1)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
