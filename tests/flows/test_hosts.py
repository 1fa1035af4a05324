"""One meta-training in two processes, each with a home of its own, as on two hosts."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

pytestmark = pytest.mark.slow

COMMAND = [
    *(sys.executable, "-m", "flows.meta_train", "--conf", "conf/tiny.yaml"),
    *("--set", "architecture=LearnedAdam", "--set", "meta_steps=24"),
    *("--set", "segment_meta_steps=6", "--set", "meta_steps_per_dispatch=2"),
]
SECONDS = 240


class Run(NamedTuple):
    """The processes of a run, and where each of them writes."""

    processes: list["subprocess.Popen[bytes]"]
    homes: list[Path]

    def log(self, number: int) -> str:
        return (self.homes[number] / "log.txt").read_text()

    def statuses(self) -> list[int]:
        return [process.wait(SECONDS) for process in self.processes]

    def logs(self) -> str:
        return "\n".join(self.log(number) for number in range(len(self.homes)))

    def wait_for_checkpoint(self, meta_step: int) -> None:
        end = time.monotonic() + SECONDS
        while not list(self.homes[0].glob(f"runs/*/001/checkpoints/{meta_step}")):
            assert all(process.poll() is None for process in self.processes), self.logs()
            assert time.monotonic() < end
            time.sleep(0.01)


Start = Callable[..., Run]


@pytest.fixture(scope="module")
def start(
    tmp_path_factory: pytest.TempPathFactory, server: str, jax_cache: Path
) -> Iterator[Start]:
    """A function that starts the command in so many processes; the first home is returned to."""
    started: list[subprocess.Popen[bytes]] = []
    # Whoever has started the tests aside has them, and all that they start, ignore Ctrl-C.
    ignoring = signal.signal(signal.SIGINT, signal.default_int_handler)

    def one(home: Path, command: list[str], environ: dict[str, str]) -> "subprocess.Popen[bytes]":
        outside = ("MLFLOW", "JAX_NUM", "XLA_FLAGS")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(outside)},
            "LOPT_HOME": str(home),
            "PREFECT_API_URL": server,
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": str(jax_cache),
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
        }
        with (home / "log.txt").open("ab") as log:
            started.append(
                subprocess.Popen(command, env=environment | environ, stdout=log, stderr=log)
            )
        return started[-1]

    def starting(
        count: int, home: Path | None = None, more: dict[int, list[str]] | None = None
    ) -> Run:
        homes = [home or tmp_path_factory.mktemp("home")]
        homes += [tmp_path_factory.mktemp("other") for _ in range(1, count)]
        address = f"127.0.0.1:{free_port()}"
        processes = []
        for number, folder in enumerate(homes):
            said = {
                "JAX_NUM_PROCESSES": str(count),
                "JAX_PROCESS_ID": str(number),
                "JAX_COORDINATOR_ADDRESS": address,
            }
            command = [*COMMAND, *(more or {}).get(number, [])]
            processes.append(one(folder, command, said))
        return Run(processes, homes)

    yield starting
    signal.signal(signal.SIGINT, ignoring)
    for process in started:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def of_one(start: Start) -> Run:
    run = start(1)
    assert run.statuses() == [0], run.logs()
    return run


def meta_params(home: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    (path,) = home.glob("runs/*/*/release/meta_params.safetensors")
    return load_file(path)


def assert_close(home: Path, other: Path) -> None:
    """Sums over problems are rounded in another order, and what follows from them differs."""
    found, expected = meta_params(home), meta_params(other)
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def checkpoints(home: Path) -> list[int]:
    """The meta-steps that there are checkpoints of, each of them whole."""
    from lopt.checkpoint import Checkpoints

    (folder,) = home.glob("runs/*/001/checkpoints")
    with Checkpoints(folder) as found:
        assert found.set_aside_damaged() == ()
    return sorted(int(path.name) for path in folder.iterdir())


def tracked_steps(home: Path) -> tuple[str, list[int]]:
    """The status of the only MLflow run, and the meta-steps that it has rows of."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'lopt'")
    (run,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(run.info.run_id, "meta/loss")
    return run.info.status, [point.step for point in history]


def assert_has_only_followed(home: Path) -> None:
    assert not (home / "mlflow.db").exists()
    assert not (home / "mlartifacts").exists()
    assert not list(home.glob("runs/*"))


@pytest.mark.filterwarnings("default")
@pytest.mark.timeout(600)
def test_two_processes_train_as_one_and_only_the_first_writes(start: Start, of_one: Run) -> None:
    run = start(2)
    assert run.statuses() == [0, 0], run.logs()
    assert "2 devices in 2 processes: the processor, 1 of 2 problems" in run.log(0)
    assert_close(run.homes[0], of_one.homes[0])
    assert tracked_steps(run.homes[0]) == ("FINISHED", list(range(2, 25, 2)))
    assert checkpoints(run.homes[0]) == [12, 18, 24]
    assert_has_only_followed(run.homes[1])
    heading, *others = [line for line in run.log(1).splitlines() if "Gloo" not in line]
    assert heading.startswith("Process 1 of 2 on ")
    assert not others


@pytest.mark.filterwarnings("default")
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("number", "signalled", "said"),
    [(0, signal.SIGINT, "Interrupted."), (1, signal.SIGTERM, "Stopped.")],
)
def test_a_signal_to_any_process_ends_all_with_a_checkpoint_that_one_process_goes_on_from(
    start: Start, of_one: Run, number: int, signalled: int, said: str
) -> None:
    run = start(2)
    run.wait_for_checkpoint(6)
    run.processes[number].send_signal(signalled)
    assert run.statuses() == [1, 1], run.logs()
    assert f"{said} The same command goes on from the last checkpoint." in run.log(0)
    status, steps = tracked_steps(run.homes[0])
    newest = checkpoints(run.homes[0])[-1]
    assert (status, steps) == ("KILLED", list(range(2, newest + 1, 2)))
    assert 6 <= newest < 24
    assert not list(run.homes[0].glob("runs/*/*/release"))

    resumed = start(1, run.homes[0])
    assert resumed.statuses() == [0], resumed.logs()
    assert_close(run.homes[0], of_one.homes[0])
    assert tracked_steps(run.homes[0]) == ("FINISHED", list(range(2, 25, 2)))


@pytest.mark.filterwarnings("default")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_that_is_killed_takes_the_other_with_it(start: Start, killed: int) -> None:
    from tasks.processes import HEARTBEAT_SECONDS

    run = start(2)
    run.wait_for_checkpoint(6)
    run.processes[killed].send_signal(signal.SIGKILL)
    left = 1 - killed
    began = time.monotonic()
    status = run.processes[left].wait(SECONDS)
    assert time.monotonic() - began < HEARTBEAT_SECONDS, run.logs()
    assert checkpoints(run.homes[0])
    if killed == 0:
        # JAX says it, and aborts the process.
        assert status == -signal.SIGABRT
        assert "another task died" in run.log(left)
    else:
        assert status == 1
        assert "CompanyError: process 0 of 2 on " in run.log(left)
        assert tracked_steps(run.homes[0])[0] == "FAILED"


@pytest.mark.filterwarnings("default")
@pytest.mark.timeout(600)
def test_processes_that_are_given_different_confs_end_with_2_before_any_work(start: Start) -> None:
    run = start(2, more={1: ["--set", "meta_training.seed=1"]})
    assert run.statuses() == [2, 2], run.logs()
    assert "has another conf than process 0" in run.log(0)
    assert not list(run.homes[0].glob("runs/*"))


@pytest.mark.filterwarnings("default")
@pytest.mark.timeout(600)
def test_problems_that_processes_cannot_share_are_refused_by_all_of_them(start: Start) -> None:
    three = ["--set", "problems=3"]
    run = start(2, more={0: three, 1: three})
    assert run.statuses() == [2, 2], run.logs()
    line = "meta_training.problems: 3 is not allowed; allowed: a multiple of 2, the number of"
    assert line in run.log(0)
    assert line in run.log(1)
    assert not list(run.homes[0].glob("runs/*"))
