"""The programs that `make up` keeps alive: their commands and their environment."""

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tasks import settings
from tasks.servers.conf import ServersConf

HOST = "127.0.0.1"
PREFECT, WORKER, WATCH = "prefect", "worker", "watch"
MARK = "LOPT_SERVERS"
"""Variable that holds the home, by which its processes are known, whoever started them."""
STOP_VARIABLE = "LOPT_STOP_SECONDS"
NAME_MARK = "LOPT_SERVERS_PROGRAM"
"""Variable that holds the name of the program that a process is of."""


class Program(NamedTuple):
    """What is run, and when: lower numbers start earlier and end later."""

    name: str
    command: tuple[str, ...]
    order: int
    starts_at_once: bool = True


def programs(conf: ServersConf, work_pool: str) -> tuple[Program, ...]:
    """Return the servers, and the worker and who watches it, which start when they answer."""
    return (
        _program(PREFECT, _prefect(conf), order=1),
        _program("mlflow", _mlflow(conf), order=1),
        _program(WORKER, _worker(work_pool), order=2)._replace(starts_at_once=False),
        _program(WATCH, _watch(), order=3)._replace(starts_at_once=False),
    )


def _program(name: str, command: Sequence[str], order: int) -> Program:
    program, *arguments = command
    path = Path(sys.executable).parent / program
    launched = (sys.executable, "-m", "tasks.servers.launch", name, str(path), *arguments)
    return Program(name, launched, order)


def _prefect(conf: ServersConf) -> tuple[str, ...]:
    return ("prefect", "server", "start", f"--host={HOST}", f"--port={conf.prefect_port}")


def _worker(work_pool: str) -> tuple[str, ...]:
    # By the machine's name: one of its own each time would leave a list of those that were.
    name = f"--name={socket.gethostname()}"
    return ("prefect", "worker", "start", pool_argument(work_pool), "--type=process", name)


def pool_argument(work_pool: str) -> str:
    """Return what the worker's command says of its pool, by which it is known later."""
    return f"--pool={work_pool}"


def _watch() -> tuple[str, ...]:
    return (Path(sys.executable).name, "-m", "tasks.servers", "watch")


def _mlflow(conf: ServersConf) -> tuple[str, ...]:
    # Flows write files to the folder themselves, as they do without a server: so what is recorded
    # with the server can be read without, and the other way round.
    return (
        "mlflow",
        "server",
        f"--host={HOST}",
        f"--port={conf.mlflow_port}",
        "--workers=1",
        f"--backend-store-uri={settings.backend_store_uri()}",
        f"--default-artifact-root={settings.artifacts_root().as_uri()}",
        "--no-serve-artifacts",
    )


def environment(conf: ServersConf, given: Mapping[str, str]) -> dict[str, str]:
    """Return what all programs and the flows that they start find in their environment.

    That is what is `given`, our settings of Prefect and MLflow where it has none, and the
    addresses of these very servers, whatever others it names.
    """
    ours = settings.defaults()
    # These logs are files: they take everything.
    del ours["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"]
    prefect = {
        "PREFECT_API_URL": f"{conf.prefect_url}/api",
        "PREFECT_UI_URL": conf.prefect_url,
        "PREFECT_UI_API_URL": f"{conf.prefect_url}/api",
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(conf.prefect_port),
    }
    mlflow = {
        "MLFLOW_TRACKING_URI": conf.mlflow_url,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # 0.5 GB of memory instead of 2.8
    }
    pace = {"PREFECT_WORKER_QUERY_SECONDS": "3", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
    # What is asked of 127.0.0.1 goes through no proxy.
    outside = ",".join(filter(None, [given.get("NO_PROXY"), given.get("no_proxy"), HOST]))
    forced = {
        "NO_PROXY": outside,
        "no_proxy": outside,
        settings.HOME_VARIABLE: str(settings.home()),
        MARK: str(settings.home()),
        STOP_VARIABLE: str(conf.stop_seconds),
        "PYTHONPATH": _python_path(given),
        "PYTHONUNBUFFERED": "1",
    }
    return {**ours, **pace, **given, **prefect, **mlflow, **forced}


def _python_path(given: Mapping[str, str]) -> str:
    others = [part for part in given.get("PYTHONPATH", "").split(os.pathsep) if part]
    return os.pathsep.join(dict.fromkeys([str(settings.REPOSITORY), *others]))
