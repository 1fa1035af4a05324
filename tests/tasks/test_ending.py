"""How a command ends that was stopped while programs are compiled."""

import subprocess
import sys
from pathlib import Path

import pytest

# A flow that is stopped while a program is compiled that takes far longer than the test.
STOPPED = """
import atexit, os, signal, sys, threading, time
from lopt.meta_training import ahead
from tasks import command_line

begun = threading.Event()

def compile_one():
    begun.set()
    time.sleep({seconds})
    print("compiled", flush=True)

def toy():
    programs = ahead.Ahead({{0: compile_one}})
    begun.wait()
    # What a flow registers is not left out.
    atexit.register(print, "and the rest")
    {end}

command_line.main(toy, [], if_stopped="Go on.")
"""


# Not by a signal for Ctrl-C: what a shell starts aside may have to ignore it.
@pytest.mark.parametrize(
    ("end", "word"),
    [
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", "Stopped"),
        ("raise KeyboardInterrupt", "Interrupted"),
    ],
)
def test_a_stopped_command_waits_for_no_compiler(end: str, word: str) -> None:
    ended = _run(STOPPED.format(seconds=600, end=end))
    assert ended.stdout.splitlines() == ["and the rest"]
    assert ended.stderr.splitlines()[-1] == f"{word}. Go on."
    assert ended.returncode == 1


def test_a_command_that_comes_to_its_end_waits_for_what_is_being_compiled() -> None:
    ended = _run(STOPPED.format(seconds=2, end="programs.begin_no_more()"))
    assert sorted(ended.stdout.splitlines()) == ["and the rest", "compiled"]
    assert ended.returncode == 0


# Of a machine that is shut down, say: Prefect's server hears it, too, and is sooner at its end.
WITHOUT_SERVER = """
import os, signal, time
import flows
from prefect import flow, get_run_logger
from prefect.server.api.server import SubprocessASGIServer
from tasks import command_line, tracking

@flow
def toy():
    with tracking.tracked("toy", {{}}):
        server = SubprocessASGIServer().server_process
        server.kill()
        server.wait()
        get_run_logger().info("a line that nobody takes")
        time.sleep(2 * {interval})
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

command_line.main(toy, [], if_stopped="Go on.")
"""


def test_a_command_that_is_stopped_after_its_server_says_so_in_one_line(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(home / "prefect"))
    interval = 0.5
    monkeypatch.setenv("PREFECT_LOGGING_TO_API_BATCH_INTERVAL", str(interval))
    ended = _run(WITHOUT_SERVER.format(interval=interval))
    assert ended.stderr.splitlines() == ["Stopped. Go on."]
    assert ended.returncode == 1


def _run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
