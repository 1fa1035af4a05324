"""`make up`, `make down` and `make status`; deployments and watch for a server elsewhere."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from tasks import settings
from tasks.locks import locked
from tasks.servers import interrupted, processes, programs, running, silence, supervisor
from tasks.servers.answers import Waiting, answers
from tasks.servers.conf import ServersConf
from tasks.servers.running import Addresses
from tasks.servers.supervisor import Supervisor


class ServersError(RuntimeError):
    """What was asked for cannot be done; says what to do instead."""


def up(conf: ServersConf) -> None:
    """Start the servers, the deployments and the worker, and wait until all answer.

    What is up already is left alone. Where this fails, it leaves nothing running that was not.
    """
    folder = _writable()
    with _alone(folder):
        os.environ.update(programs.environment(conf, os.environ))
        was_up = running.is_supervised(settings.home())
        if was_up:
            _refuse_to_move(conf)
            _refuse_another_pool(folder)
        else:
            _start(conf, folder)
        try:
            _come_up(conf, folder)
        except BaseException:
            if not was_up:
                _end(conf, folder)
            raise
    _say(_screen(conf, folder))


def down(conf: ServersConf) -> None:
    """End the flows that the worker runs, the worker and the servers; their data stay."""
    folder = _writable()
    with _alone(folder):
        if running.is_supervised(settings.home()):
            _ask_those_that_run(conf)
            again = _end(conf, folder)
            _say(["Down. What was recorded stays in " + str(settings.home())])
            if again:
                _say([f"Interrupted, to go on at the next make up: {', '.join(again)}"])
        elif left := processes.marked(settings.home()):
            processes.end(left)
            _say([f"Ended {len(left)} processes whose supervisor was gone."])
        else:
            _say(["Nothing is up."])


def status() -> bool:
    """Say how each program does; whether all run."""
    folder = settings.servers_root()
    found = running.addresses(settings.home())
    if found is None:
        _say(["Nothing is up."])
        return False
    statuses = Supervisor(folder).statuses()
    _say([f"{name:8} {one.state.lower():9} {one.words}" for name, one in statuses.items()])
    _say([f"Prefect  {found.prefect}", f"MLflow   {found.mlflow}", f"Logs     {folder}"])
    return all(one.state == "RUNNING" for one in statuses.values())


def declare() -> None:
    """Make the deployments of the file in the server that is up, or that PREFECT_API_URL names."""
    _find_prefect()
    from tasks.deployments import declare_deployments

    _say([f"Declared: {', '.join(declare_deployments())}"])


def watch() -> NoReturn:
    """Take up again what has died with its worker in the file's work pool, until it is ended."""
    _find_prefect()
    from tasks.deployment_confs import read_deployments

    pool, seconds = read_deployments().work_pool, silence.silent_seconds()
    _say([f"Watching the runs of {pool.name}: after {seconds:.0f} s of silence they begin again"])
    silence.watch(pool, seconds)


def _find_prefect() -> None:
    settings.set_environment()
    if not os.environ.get("PREFECT_API_URL"):
        raise ServersError("No server of Prefect is known: make up, or set PREFECT_API_URL.")


def _writable() -> Path:
    settings.refuse_odd(settings.home())
    folder = settings.servers_root()
    for needed in (settings.home(), folder, settings.prefect_home()):
        settings.make_writable(needed)
    return folder


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        with locked(folder / "lock", wait=False):
            yield
    except BlockingIOError:
        raise ServersError(
            f"Another make up or make down of {settings.home()} is at work. Wait for its end."
        ) from None


def _refuse_to_move(conf: ServersConf) -> None:
    found = running.addresses(settings.home())
    if found is not None and found != _addresses(conf):
        raise ServersError(
            f"The servers of {settings.home()} are up at {found.prefect} and {found.mlflow}. "
            "To have them at other ports run make down first."
        )


def _refuse_another_pool(folder: Path) -> None:
    """Refuse to wait for a worker of a pool that the one which is up does not take from."""
    from tasks.deployment_confs import deployments_file, read_deployments

    pool = read_deployments().work_pool.name
    if not supervisor.has_argument(folder, programs.pool_argument(pool)):
        raise ServersError(
            f"The worker of {settings.home()} that is up takes from another work pool than {pool} "
            f"(work_pool.name in {deployments_file()}). To have one of that run make down first."
        )


def _addresses(conf: ServersConf) -> Addresses:
    return Addresses(prefect=conf.prefect_url, mlflow=conf.mlflow_url)


def _start(conf: ServersConf, folder: Path) -> None:
    from tasks.deployment_confs import read_deployments
    from tasks.tracking_store import make_ready

    # Of a supervisor that was killed: they would keep the ports, and write to the databases.
    processes.end(processes.marked(settings.home()))
    _refuse_taken("PREFECT", conf.prefect_port)
    _refuse_taken("MLFLOW", conf.mlflow_port)
    wanted = programs.programs(conf, read_deployments().work_pool.name)
    text = supervisor.configuration(folder, wanted)
    make_ready(settings.backend_store_uri())
    for program in wanted:
        supervisor.log_file(folder, program.name).touch()
    supervisor.configuration_file(folder).write_text(text, encoding="utf-8")
    _addresses(conf).write(folder)
    supervisor.start(folder, os.environ, settings.REPOSITORY)


def _refuse_taken(name: str, port: int) -> None:
    if processes.is_taken(port):
        raise ServersError(
            f"Port {port} is taken by {processes.who_listens(port)}. "
            f"End that, or choose another port: LOPT_{name}_PORT={port + 1} make up"
        )


def _come_up(conf: ServersConf, folder: Path) -> None:
    asked = Supervisor(folder)
    waiting = Waiting(folder, asked, conf.start_seconds)
    pages = {"prefect": f"{conf.prefect_url}/api/health", "mlflow": f"{conf.mlflow_url}/health"}
    for name in pages:
        asked.start(name)
    for name, page in pages.items():
        waiting.until(name, lambda page=page: answers(page))
    from tasks.deployments import declare_deployments
    from tasks.work_pools import has_worker

    declare_deployments()
    # One that has just been ended counts as one for a while.
    since = None if asked.statuses()[programs.WORKER].pid else datetime.now(UTC)
    asked.start(programs.WORKER)
    waiting.until(programs.WORKER, lambda: has_worker(since))
    asked.start(programs.WATCH)
    waiting.until(programs.WATCH, lambda: asked.statuses()[programs.WATCH].state == "RUNNING")


def _ask_those_that_run(conf: ServersConf) -> None:
    """Let Prefect's client ask the servers that are up, at whatever ports they were started."""
    os.environ.update(programs.environment(conf, os.environ))
    found = running.addresses(settings.home())
    if found is not None:
        os.environ["PREFECT_API_URL"] = found.prefect_api


def _end(conf: ServersConf, folder: Path) -> list[str]:
    """End all, the flows first; the names of the runs that go on at the next `make up`."""
    asked = Supervisor(folder)
    asked.stop(programs.WATCH)
    flows = processes.flow_processes(asked.statuses()[programs.WORKER].pid)
    flow_runs = processes.flow_runs(flows)
    processes.end(flows, conf.stop_seconds)
    asked.stop(programs.WORKER)
    again = _schedule_again(flow_runs) if flow_runs else []
    asked.shut_down(4 * supervisor.STOP_SECONDS)
    processes.end(processes.marked(settings.home()))
    return again


def _schedule_again(flow_runs: list[str]) -> list[str]:
    from httpx import HTTPError

    try:
        return interrupted.schedule_again(flow_runs, "make down interrupted it.")
    except HTTPError:
        # Of a server that is dead nothing can be asked; the next worker finds them begun.
        return []


def _screen(conf: ServersConf, folder: Path) -> list[str]:
    from tasks.deployment_confs import read_deployments

    return [
        f"Prefect  {conf.prefect_url}/deployments",
        f"MLflow   {conf.mlflow_url}/#/experiments",
        f"Logs     {folder}",
        f"Up: {len(read_deployments().deployments)} deployments. make down ends it.",
    ]


def _say(lines: list[str]) -> None:
    sys.stdout.writelines(line + "\n" for line in lines)
    sys.stdout.flush()
