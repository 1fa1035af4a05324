"""The services of compose.yaml as processes of this machine: other addresses, all else the same."""

import base64
import contextlib
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.e2e import compose
from tests.e2e.operators import DECLARED, eventually, free_port
from tests.e2e.postgres import Postgres

ADDED = {
    "LOPT_DEPLOYMENTS": str(DECLARED),
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
}
"""What no service has in its environment: the smallest flows, and no waiting for the compiler."""
STOP_SECONDS = 60


class Team:
    """PostgreSQL, both servers, the deployments and a worker, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # What an address would have to quote, before what is searched for afterwards.
        self.tokens = [secrets.token_hex(16) for _ in range(4)]
        database, prefect, mlflow, key = self.tokens
        self.variables = {
            "POSTGRES_PASSWORD": f"p@/:%{database}",
            "PREFECT_AUTH": f"operator:p@/:%{prefect}",
            "MLFLOW_PASSWORD": f"p@/:%{mlflow}",
            "MLFLOW_SECRET_KEY": key,
        }
        self._services = compose.services(self.variables)
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        ports = {name: free_port() for name in ("postgres", "prefect", "mlflow", "worker")}
        self.prefect = f"http://127.0.0.1:{ports['prefect']}"
        self.mlflow = f"http://127.0.0.1:{ports['mlflow']}"
        self._ports = ports
        cluster = folder / "postgres"
        cluster.mkdir()
        self.postgres = Postgres(self._services["postgres"], cluster, ports["postgres"])

    def up(self) -> None:
        """Start everything in the order of compose.yaml, each when what it depends on is ready."""
        for name in {self._volume(service) for service in self._services}:
            (self.folder / name).mkdir(exist_ok=True)
        self.postgres.make()
        self._started["postgres"] = self.postgres.start()
        eventually(self.postgres.is_ready, self.log)
        self.postgres.fill()
        for name in ("prefect", "mlflow"):
            self.start(name)
        for name in ("prefect", "mlflow"):
            eventually(lambda name=name: self.is_healthy(name), self.log)
        assert self.start("deployments").wait() == 0, self.log()
        self.start("worker")
        self.start("watch")
        for name in ("worker", "watch"):
            eventually(lambda name=name: self.is_healthy(name), self.log)

    def kill(self, name: str) -> None:
        """Kill a service as its container does when it dies: with all that it has started."""
        process = psutil.Process(self._started[name].pid)
        # Stopped before anything else, it starts nothing more.
        process.suspend()
        for one in (*process.children(recursive=True), process):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        self._started[name].wait()

    def start(self, name: str) -> "subprocess.Popen[bytes]":
        command = [self._here(name, word) for word in self._services[name]["command"]]
        with (self.folder / f"{name}.log").open("ab") as log:
            self._started[name] = subprocess.Popen(
                command,
                cwd=compose.ROOT,
                env=self.environment(name),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self._started[name]

    def is_healthy(self, name: str) -> bool:
        assert self._started[name].poll() is None, self.log()
        command = compose.health_check()
        environment = self.environment(name)
        return (
            subprocess.run(command, cwd=compose.ROOT, env=environment, check=False).returncode == 0
        )

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of a service: nothing of this one's but where programs are."""
        image = compose.image_environment()
        programs = f"{Path(sys.executable).parent}:{os.defpath}"
        python = f"{compose.ROOT / 'components'}:{compose.ROOT}"
        given = image | self._services[name]["environment"]
        here = {key: self._here(name, value, key) for key, value in given.items()}
        mine = {"HOME": str(self.folder), "PATH": programs, "PYTHONPATH": python}
        port = {"PREFECT_WORKER_WEBSERVER_PORT": str(self._ports["worker"])}
        return here | mine | port | ADDED

    def _here(self, service: str, value: str, key: str = "") -> str:
        """Return what a value is where every service is a process of one machine."""
        ports = self._ports
        if key in {"PGHOST", "PGPORT"}:
            return {"PGHOST": "127.0.0.1", "PGPORT": str(ports["postgres"])}[key]
        for there, here in {
            "0.0.0.0": "127.0.0.1",
            "prefect:4200": f"127.0.0.1:{ports['prefect']}",
            "127.0.0.1:4200": f"127.0.0.1:{ports['prefect']}",
            "mlflow:5000": f"127.0.0.1:{ports['mlflow']}",
            "127.0.0.1:5000": f"127.0.0.1:{ports['mlflow']}",
            "--port=5000": f"--port={ports['mlflow']}",
            "127.0.0.1:8080": f"127.0.0.1:{ports['worker']}",
            "/data": str(self.folder / self._volume(service)),
        }.items():
            value = value.replace(there, here)
        return str(ports["prefect"]) if value == "4200" else value

    def _volume(self, service: str) -> str:
        """Return the volume that a service has at /data, "" for one that has none."""
        mounted = (volume.partition(":") for volume in self._services[service]["volumes"])
        return "".join(name for name, _, place in mounted if place == "/data")

    def ask_prefect(self, path: str, content: Any = None, **filters: Any) -> Any:
        """Ask Prefect's API with filters, or with any other content."""
        sent = filters if content is None else content
        return self._asked(httpx.post(f"{self.prefect}/api/{path}", json=sent, **self._prefect))

    def flow_run(self, flow_run_id: str) -> dict[str, Any]:
        path = f"{self.prefect}/api/flow_runs/{flow_run_id}"
        return dict(self._asked(httpx.get(path, **self._prefect)))

    def ask_mlflow(self, path: str, **query: str) -> Any:
        login = ("admin", self.variables["MLFLOW_PASSWORD"])
        path = f"{self.mlflow}/api/2.0/mlflow/{path}"
        return self._asked(httpx.get(path, params=query, auth=login, timeout=120))

    @property
    def _prefect(self) -> dict[str, Any]:
        name, _, password = self.variables["PREFECT_AUTH"].partition(":")
        return {"auth": (name, password), "timeout": 120}

    @staticmethod
    def _asked(response: httpx.Response) -> Any:
        response.raise_for_status()
        return response.json()

    def processes(self) -> list[psutil.Process]:
        """Return all processes of the services."""
        own = [psutil.Process(one.pid) for one in self._started.values() if one.poll() is None]
        return [one for process in own for one in (process, *process.children(recursive=True))]

    def secrets(self) -> list[str]:
        """Return what must be nowhere: the passwords, also as they go through the network."""
        logins = (self.variables["PREFECT_AUTH"], "admin:" + self.variables["MLFLOW_PASSWORD"])
        sent = [base64.b64encode(login.encode()).decode().rstrip("=") for login in logins]
        return [*self.tokens, *sent]

    def said(self, name: str) -> str:
        """What a service has printed."""
        return (self.folder / f"{name}.log").read_text()

    def log(self) -> str:
        """The ends of all logs, for whoever wants to know why it went wrong."""
        logs = sorted(self.folder.glob("**/*.log"))
        return "\n".join(f"== {log.name}\n{log.read_text()[-4000:]}" for log in logs)

    def down(self) -> None:
        for process in reversed(self._started.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
