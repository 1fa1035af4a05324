"""Two that are given the same work at once: a flow of the worker's and one from a shell."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.e2e.operators import SECONDS, Operator, eventually
from tests.e2e.trainings import ENDED, SEGMENT, Training, cancel

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3 * SECONDS)]


def seeds(parent: Path) -> list[int]:
    """The seeds of all runs of one conf, in the order of their folders."""
    files = sorted(parent.glob("*/run.json"))
    return [int(json.loads(file.read_text())["seed"]) for file in files]


def newest(folder: Path) -> int:
    names = [path.name for path in (folder / "checkpoints").glob("[0-9]*")]
    return max((int(name) for name in names if name.isdecimal()), default=0)


@contextmanager
def from_a_shell(training: Training, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Give the command that does what the deployment does, as it runs beside it."""
    conf = log.with_name("conf.yaml")
    ensemble = training.operator.deployment("meta-train")["parameters"]["ensemble"]
    conf.write_text(yaml.safe_dump({"ensemble": ensemble, "meta_training": training.conf}))
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.meta_train", "--conf", str(conf)],
            env=training.operator.environment(),
            stdout=file,
            stderr=file,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)


def test_the_second_of_two_on_one_conf_takes_a_folder_and_a_seed_of_its_own(
    operator: Operator, tmp_path: Path
) -> None:
    operator.up()
    training = Training(operator, 100_000)
    training.reaches(SEGMENT)
    folder, log = training.folder, tmp_path / "log.txt"
    other = folder.with_name("002")
    with from_a_shell(training, log) as second:

        def works() -> bool:
            assert second.poll() is None, log.read_text()
            return newest(other) >= SEGMENT

        eventually(works)
        done = newest(folder)
        eventually(lambda: newest(folder) > done, operator.log)
    cancel(operator, training.flow_run_id)
    eventually(lambda: training.state in ENDED, operator.log)
    assert training.state == "CANCELLED"
    assert seeds(folder.parent) == [training.conf["seed"], training.conf["seed"] + 1]
    assert newest(other) >= SEGMENT
