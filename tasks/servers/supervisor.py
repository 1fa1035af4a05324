"""supervisord, which keeps programs alive: its configuration, its start and its answers."""

import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xmlrpc.client import Fault, ServerProxy

import psutil

from tasks.servers.programs import Program
from tasks.servers.running import SOCKET

LONGEST_SOCKET_PATH = 95
"""The system allows 107 bytes, and supervisord appends its process number."""
STOP_SECONDS = 30
"""What a program gets to end; flows have ended before, and take the time that they need."""
START_RETRIES = 240
"""How often a program that dies at once is started again, each time a second later than the time
before: eight hours in all, so that a disk that was full at night has room again in the morning."""
COMMAND = "command="
LOG_BYTES = "20MB"
LOGS_KEPT = 3


class SupervisorError(RuntimeError):
    """supervisord could not be started or asked; says why."""


class Status(NamedTuple):
    """How a program does: supervisord's word for it, its process (0 for none), and a few words."""

    state: str
    pid: int
    words: str


def configuration(folder: Path, programs: Sequence[Program]) -> str:
    """Return supervisord's configuration, whose every path lies in the folder.

    Raises `SupervisorError` if the folder's path is too long for the address of a socket.
    """
    _refuse_long(folder / SOCKET)
    head = [
        "[unix_http_server]",
        f"file={_plain(folder / SOCKET)}",
        "chmod=0700",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        "[supervisord]",
        f"logfile={_plain(folder / 'supervisor.log')}",
        f"logfile_maxbytes={LOG_BYTES}",
        f"logfile_backups={LOGS_KEPT}",
        f"pidfile={_plain(folder / 'supervisor.pid')}",
        f"childlogdir={_plain(folder)}",
    ]
    return "\n".join([*head, *(_section(folder, one) for one in programs), ""])


def start(folder: Path, environment: Mapping[str, str], working_directory: Path) -> None:
    """Start supervisord in the background, with the configuration in the folder.

    Raises `SupervisorError` with what it says if it does not start.
    """
    command = [
        sys.executable,
        "-m",
        "supervisor.supervisord",
        "-c",
        str(configuration_file(folder)),
    ]
    run = subprocess.run(
        command,
        env=dict(environment),
        cwd=working_directory,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        said = " ".join((run.stderr or run.stdout).split())
        raise SupervisorError(f"supervisord could not be started: {said}")


def configuration_file(folder: Path) -> Path:
    """Return where the configuration lies."""
    return folder / "supervisord.conf"


def has_argument(folder: Path, argument: str) -> bool:
    """Return whether a command of the configuration in the folder has this argument."""
    lines = configuration_file(folder).read_text(encoding="utf-8").splitlines()
    commands = [line.removeprefix(COMMAND) for line in lines if line.startswith(COMMAND)]
    return any(argument in shlex.split(one.replace("%%", "%")) for one in commands)


class Supervisor:
    """What a running supervisord can be asked.

    **Example**

    ```python
    Supervisor(folder).statuses()["mlflow"].state  # 'RUNNING'
    ```
    """

    def __init__(self, folder: Path) -> None:
        self._address = f"unix://{folder / SOCKET}"

    def statuses(self) -> dict[str, Status]:
        """Return how each program does, by name."""
        return {
            one["name"]: Status(one["statename"], one["pid"], one["description"])
            for one in self._ask("getAllProcessInfo")
        }

    def start(self, name: str) -> None:
        """Start a program unless it runs; it need not have come up when this returns.

        One that waits for its next try is started now: what it died of may be mended.
        """
        if self.statuses()[name].state == "BACKOFF":
            self.stop(name)
        self._tell(name, "startProcess", False, done="ALREADY_STARTED")

    def stop(self, name: str) -> None:
        """Stop a program if it runs, and wait for it: by SIGTERM, in the end by SIGKILL."""
        self._tell(name, "stopProcess", True, done="NOT_RUNNING")

    def shut_down(self, seconds: float) -> None:
        """Stop all that still runs and supervisord itself, and wait for it."""
        process = psutil.Process(self._ask("getPID"))
        self._ask("shutdown")
        try:
            process.wait(seconds)
        except psutil.TimeoutExpired:
            raise SupervisorError(
                f"supervisord (process {process.pid}) has not ended within {seconds:.0f} s"
            ) from None

    def _tell(self, name: str, order: str, wait: bool, *, done: str) -> None:
        """Give an order about a program, unless it has been done as the answer says."""
        try:
            self._ask(order, name, wait)
        except Fault as fault:
            if done not in fault.faultString:
                raise SupervisorError(f"{name}: {order} failed: {fault.faultString}") from None

    def _ask(self, question: str, *arguments: object) -> Any:
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(None, None, serverurl=self._address)
        try:
            proxy = ServerProxy("http://127.0.0.1", transport=transport)
            return getattr(proxy.supervisor, question)(*arguments)
        finally:
            transport.close()


def _section(folder: Path, program: Program) -> str:
    lines = [
        f"[program:{program.name}]",
        f"{COMMAND}{_plain(shlex.join(program.command))}",
        f"priority={program.order}",
        f"autostart={str(program.starts_at_once).lower()}",
        "autorestart=true",
        "startsecs=3",
        f"startretries={START_RETRIES}",
        f"stopwaitsecs={STOP_SECONDS}",
        # What a server has started ends with it; flows are in groups of their own.
        "killasgroup=true",
        "redirect_stderr=true",
        f"stdout_logfile={_plain(log_file(folder, program.name))}",
        f"stdout_logfile_maxbytes={LOG_BYTES}",
        f"stdout_logfile_backups={LOGS_KEPT}",
    ]
    return "\n".join(lines)


def log_file(folder: Path, name: str) -> Path:
    """Return where a program's output goes."""
    return folder / f"{name}.log"


def last_line(folder: Path, name: str) -> str:
    """Return the last line that a program has printed, empty for none."""
    path = log_file(folder, name)
    if not path.is_file():
        return ""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - 10_000))
        lines = [line.strip() for line in log.read().decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")


def _plain(value: object) -> str:
    """Return a value in which supervisord finds nothing to replace."""
    return str(value).replace("%", "%%")


def _refuse_long(path: Path) -> None:
    length = len(bytes(path))
    if length > LONGEST_SOCKET_PATH:
        raise SupervisorError(
            f"{path} has {length} bytes, and a socket's path may have {LONGEST_SOCKET_PATH}. "
            "Set LOPT_HOME to a folder with a shorter name."
        )
