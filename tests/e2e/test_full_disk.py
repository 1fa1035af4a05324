"""A disk that is full while a flow works on it: one line, and nothing that was there is lost."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.servers import processes
from tasks.servers.programs import WORKER
from tests.e2e.operators import SECONDS, Operator, eventually, free_port
from tests.e2e.trainings import SEGMENT, Training, cancel

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3 * SECONDS)]


@contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[Path]:
    """Have a disk of so many megabytes there meanwhile."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("only root can mount a small disk where the worker's flows see it")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def small_disk(operator: Operator) -> Iterator[Path]:
    """Where the runs lie is a disk of 64 MB meanwhile."""
    operator.up()
    folder = operator.home / "runs"
    folder.mkdir(exist_ok=True)
    with mounted(folder, 64):
        yield folder


@pytest.fixture
def small_home() -> Iterator[Operator]:
    """An operator whose servers, databases, logs and runs are all on a disk of 128 MB."""
    with tempfile.TemporaryDirectory(prefix="lopt-") as home, mounted(Path(home), 128):
        found = Operator(Path(home), free_port(), free_port())
        try:
            found.up()
            yield found
        finally:
            found.down()


def fill(folder: Path) -> Path:
    """Leave no byte free."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(4096))
            except OSError:
                return path


def test_a_run_on_a_full_disk_fails_in_a_line_and_goes_on_when_there_is_room(
    operator: Operator, small_disk: Path
) -> None:
    training = Training(operator, 100_000)
    training.reaches(2 * SEGMENT)
    filler = fill(small_disk)
    assert training.ends() == "FAILED", operator.log()
    assert "cannot be written: No space left on device" in training.message
    done = training.checkpoints
    assert done
    filler.unlink()
    training.begin()
    # Beyond what was logged of the segment whose checkpoint could not be written.
    training.reaches(done[-1] + 3 * SEGMENT)
    assert not [line for line in operator.warnings(training.flow_run_id) if "damaged" in line]
    cancel(operator, training.flow_run_id)
    training.ends()
    assert training.is_logged_once()


def works(operator: Operator, training: Training) -> bool:
    found = processes.marked(operator.home, WORKER)
    return training.flow_run_id in processes.flow_runs(found)


def test_where_the_databases_are_on_the_full_disk_too_the_servers_live_and_all_goes_on_with_room(
    small_home: Operator,
) -> None:
    training = Training(small_home, 100_000, rollback_rise=1e6)
    training.reaches(2 * SEGMENT)
    filler = fill(small_home.home)
    eventually(lambda: not works(small_home, training), small_home.log)
    done = training.checkpoints
    assert done
    assert small_home.command("status").returncode == 0, "the servers live"
    filler.unlink()
    # Whether Prefect could write it down is up to the room that its database had left in its files.
    if training.state == "FAILED":
        assert "cannot be written: No space left on device" in training.message
        training.begin()
    training.reaches(done[-1] + 3 * SEGMENT)
    cancel(small_home, training.flow_run_id)
    assert training.ends() == "CANCELLED"
    assert training.is_logged_once()
