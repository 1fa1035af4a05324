import configparser
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tasks import settings
from tasks.servers import programs, supervisor
from tasks.servers.conf import ServersConf
from tasks.servers.supervisor import Supervisor, SupervisorError

CONF = ServersConf(prefect_port=4300, mlflow_port=5300)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOPT_HOME", str(tmp_path / "a home"))
    return tmp_path / "a home"


def test_servers_listen_on_this_machine_alone() -> None:
    for program in programs.programs(CONF, "lopt"):
        hosts = [part for part in program.command if part.startswith("--host")]
        listens = program.name not in {programs.WORKER, programs.WATCH}
        assert hosts == (["--host=127.0.0.1"] if listens else [])


def test_nothing_is_told_to_anybody_by_default() -> None:
    found = programs.environment(CONF, {})
    assert found["DO_NOT_TRACK"] == "1"
    assert found["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert found["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert found["PREFECT_SERVER_UI_V2_ENABLED"] == "false"


def test_flows_use_these_servers_whatever_others_the_user_has() -> None:
    given = {
        "PREFECT_API_URL": "https://elsewhere.example/api",
        "MLFLOW_TRACKING_URI": "https://elsewhere.example",
        "NO_PROXY": "inside.example",
    }
    found = programs.environment(CONF, given)
    assert found["PREFECT_API_URL"] == "http://127.0.0.1:4300/api"
    assert found["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5300"
    assert found["NO_PROXY"] == "inside.example,127.0.0.1"


def test_other_settings_of_the_user_are_left_alone() -> None:
    given = {"PREFECT_WORKER_QUERY_SECONDS": "60", "MLFLOW_DISABLE_TELEMETRY": "false"}
    assert given.items() <= programs.environment(CONF, given).items()


def test_supervisord_reads_the_commands_as_they_are_meant() -> None:
    folder = Path("/a home/50 %(here)s")
    wanted = programs.programs(CONF, "lopt")
    read = configparser.RawConfigParser()
    read.read_string(supervisor.configuration(folder, wanted))
    for program in wanted:
        section = read[f"program:{program.name}"]
        assert shlex.split(section["command"].replace("%%", "%")) == list(program.command)
        assert section["stdout_logfile"].replace("%%", "%") == str(folder / f"{program.name}.log")


def test_a_home_too_long_for_a_socket_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(SupervisorError, match="Set LOPT_HOME to a folder with a shorter name"):
        supervisor.configuration(tmp_path / ("x" * 100), ())


def test_a_supervisor_that_cannot_start_says_why(tmp_path: Path) -> None:
    supervisor.configuration_file(tmp_path).write_text("[supervisord]\nlogfile_maxbytes=much\n")
    with pytest.raises(SupervisorError, match=r"could not be started: .*much"):
        supervisor.start(tmp_path, os.environ, tmp_path)


def test_the_last_words_of_a_program_are_the_last_line_of_its_log(tmp_path: Path) -> None:
    supervisor.log_file(tmp_path, "mlflow").write_text("one\n\n  two  \n\n")
    assert supervisor.last_line(tmp_path, "mlflow") == "two"
    assert supervisor.last_line(tmp_path, "prefect") == ""


def test_what_a_killed_predecessor_has_left_ends_before_a_program_begins(home: Path) -> None:
    def environment(program: str) -> dict[str, str]:
        return {
            "PYTHONPATH": "components:.",
            "LOPT_HOME": str(home),
            "LOPT_SERVERS": str(home),
            "LOPT_SERVERS_PROGRAM": program,
            "LOPT_STOP_SECONDS": "5",
        }

    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    left = subprocess.Popen(sleep, env=environment("mlflow"))
    other = subprocess.Popen(sleep, env=environment("prefect"))
    try:
        echo = [sys.executable, "-c", "import os; print(os.environ['LOPT_SERVERS_PROGRAM'])"]
        launch = [sys.executable, "-m", "tasks.servers.launch", "mlflow", *echo]
        said = subprocess.check_output(launch, env=environment(""), text=True)
        assert said == "mlflow\n"
        assert left.wait(10) == -15
        assert other.poll() is None
    finally:
        for process in (left, other):
            process.kill()
            process.wait()


def test_a_worker_waits_for_prefect_no_longer_than_allowed_and_says_so_in_a_line(
    home: Path,
) -> None:
    environment = os.environ | {
        "LOPT_HOME": str(home),
        "LOPT_START_SECONDS": "0.1",
        "PREFECT_API_URL": "http://127.0.0.1:1/api",
        programs.STOP_VARIABLE: "10",
    }
    launch = [sys.executable, "-m", "tasks.servers.launch", programs.WORKER, sys.executable]
    run = subprocess.run(launch, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr == (
        "http://127.0.0.1:1/api/health does not answer after 0 s; prefect.log says why.\n"
    )


def test_a_program_that_dies_at_once_is_tried_again_for_a_night() -> None:
    wanted = programs.programs(CONF, "lopt")
    read = configparser.RawConfigParser()
    read.read_string(supervisor.configuration(Path("/home"), wanted))
    tries = [int(read[f"program:{one.name}"]["startretries"]) for one in wanted]
    # Each waits a second longer than the one before.
    assert [sum(range(number + 1)) > 8 * 3600 for number in tries] == [True] * 4


@pytest.mark.parametrize(
    ("state", "orders"),
    [("BACKOFF", ["stopProcess", "startProcess"]), ("FATAL", ["startProcess"])],
)
def test_what_waits_for_its_next_try_is_started_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, orders: list[str]
) -> None:
    asked: list[str] = []

    def ask(_: Supervisor, question: str, *arguments: object) -> object:
        asked.append(question)
        return [{"name": "mlflow", "statename": state, "pid": 0, "description": ""}]

    monkeypatch.setattr(Supervisor, "_ask", ask)
    Supervisor(tmp_path).start("mlflow")
    assert asked == ["getAllProcessInfo", *orders]


def test_a_lock_that_a_killed_server_has_left_is_gone_before_the_next_begins(
    tmp_path: Path,
) -> None:
    """Even where another process has its number by now: Prefect would wait for that one."""
    lock = tmp_path / "prefect" / "concurrency_leases" / "expirations.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text(str(os.getpid()))
    environment = os.environ | {
        "LOPT_HOME": str(tmp_path),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        programs.STOP_VARIABLE: "10",
    }
    launch = [sys.executable, "-m", "tasks.servers.launch", "prefect", sys.executable, "-c", ""]
    subprocess.run(launch, env=environment, check=True)
    assert not lock.exists()
    subprocess.run(launch, env=environment, check=True)


def test_prefect_writes_its_leases_where_their_lock_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    code = (
        "import asyncio\n"
        "from importlib import import_module\n"
        "from tasks import settings\n"
        "storage = import_module(settings.LEASES).ConcurrencyLeaseStorage()\n"
        "async def write():\n"
        "    async with storage._lock_expiration_index():\n"
        "        print(*storage.storage_path.iterdir(), end='')\n"
        "storage.storage_path.mkdir()\n"
        "asyncio.run(write())\n"
    )
    said = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert Path(said) == tmp_path / settings.LEASES_FOLDER / settings.LEASES_LOCK
