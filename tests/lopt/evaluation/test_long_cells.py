"""Laws of cells of 100,000 steps, each computed as a whole in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PROGRAM = Path(__file__).with_name("long_cell.py")
SHORT, LONG = 1_000, 100_000
MARGIN = 16 * 2**20
"""Bytes by which processes that do the same differ; the params of all steps would be ten times it.

Those are 200 numbers of 2 seeds each, 160 MB. The records of all are 0.1 MB.
"""


def computed(folder, steps, *until):
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(PROGRAM), str(steps), str(folder), *map(str, until)]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A cell of 100,000 steps that was never stopped."""
    return computed(tmp_path_factory.mktemp("whole"), LONG)


def test_a_hundred_thousand_steps_take_the_memory_of_a_thousand(whole, tmp_path):
    short = computed(tmp_path, SHORT)
    assert short["records"] == [0, SHORT // 10 + 1]
    assert whole["records"] == [0, LONG // 10 + 1]
    assert whole["segments"] > 10
    assert whole["moved"] > 0
    assert whole["peak"] < short["peak"] + MARGIN, (short, whole)


def test_who_is_stopped_in_the_middle_and_goes_on_has_the_bits_of_who_never_was(whole, tmp_path):
    stopped = computed(tmp_path, LONG, LONG // 2)
    resumed = computed(tmp_path, LONG)
    (_, middle), (begun_at, last) = stopped["records"], resumed["records"]
    assert LONG // 20 < middle == begun_at < last
    assert resumed["digest"] == whole["digest"] != stopped["digest"]
