"""A disk that is full while a flow works on it: one line, and nothing that was there is lost."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.operators import SECONDS, Operator
from tests.e2e.trainings import SEGMENT, Training, cancel

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3 * SECONDS)]


@pytest.fixture
def small_disk(operator: Operator) -> Iterator[Path]:
    """Where the runs lie is a disk of 64 MB meanwhile."""
    operator.up()
    folder = operator.home / "runs"
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("only root can mount a small disk where the worker's flows see it")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


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
