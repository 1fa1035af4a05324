"""What meta-training on several devices keeps, on virtual ones and in two processes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lopt.meta_gradients
from lopt.catalogue import concrete_classes
from lopt.meta_gradients import MetaGradient
from tests.lopt.loops import QUICK_TO_COMPILE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1000)]

PROGRAM = Path(__file__).with_name("on_devices.py")
ESTIMATORS = concrete_classes(lopt.meta_gradients, MetaGradient)
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)


EIGHT_DEVICES = "--xla_force_host_platform_device_count=8"


def start(flags, *arguments, loops=QUICK_TO_COMPILE):
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{loops} {flags}",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, str(PROGRAM), *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **pipes)


def result_of(process, seconds=250):
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
    assert process.returncode == 0, err[-3000:]
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def on_virtual_devices():
    """By estimator and number of devices; "none" is without a mesh."""
    return result_of(start(EIGHT_DEVICES), seconds=900)


@pytest.fixture(scope="module")
def larger_ones():
    """What is larger, by name and number of devices, with the loops that XLA writes by default.

    Its older ones round otherwise for other numbers of large problems, which evolution
    strategies divide by their deviation (LOG.md, 2026-11-28).
    """
    return result_of(start(EIGHT_DEVICES, "larger", loops=""), seconds=900)


@pytest.fixture(scope="module")
def in_two_processes():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    processes = [start("", address, str(number)) for number in range(2)]
    try:
        return [result_of(process, seconds=900) for process in processes]
    finally:
        for process in processes:
            process.kill()


# Meta-params move by this at least; what they are rounded to differs by far less.
MOVED = 0.3


LOSSES = ("losses", "validated")


def assert_close(one, other, names=("meta_params", *LOSSES)):
    """Loops over other numbers of problems may round otherwise, and what follows from them."""
    for name in names:
        found, wanted = np.array(one[name]), np.array(other[name])
        differences, allowed = np.abs(found - wanted), 1e-6 + 1e-5 * np.abs(wanted)
        assert np.all(differences <= allowed), (name, differences, allowed)


@every_estimator
@pytest.mark.parametrize("devices", ["1", "2", "8"])
def test_devices_change_nothing_but_rounding(estimator, devices, on_virtual_devices):
    found, alone = on_virtual_devices[estimator][devices], on_virtual_devices[estimator]["none"]
    assert found["devices"] == int(devices)
    assert found["problems_here"] == [8 // int(devices)] * int(devices)
    assert len(found["losses"]) == 7
    assert abs(alone["meta_params"][0] - np.log(1e-3)) > MOVED
    assert_close(found, alone)


@pytest.mark.parametrize("devices", ["2", "8"])
@pytest.mark.parametrize("estimator", ["PersistentES", "TruncatedBackprop"])
def test_devices_change_nothing_but_rounding_of_large_problems(estimator, devices, larger_ones):
    found = larger_ones[f"large {estimator}"]
    assert_close(found[devices], found["none"])


@pytest.mark.parametrize("devices", ["2", "8"])
@pytest.mark.parametrize("estimator", ["PersistentES", "TruncatedBackprop"])
def test_devices_change_little_of_thousands_of_meta_params(estimator, devices, larger_ones):
    """Adam's steps are as long for a gradient that is next to nothing, and rounding decides it."""
    found = larger_ones[f"hierarchical {estimator}"]
    one, other = (np.array(found[count]["meta_params"]) for count in (devices, "none"))
    assert np.linalg.norm(one - other) <= 1e-3 * np.linalg.norm(other)
    assert_close(found[devices], found["none"], LOSSES)


def test_eight_devices_divide_the_work_of_every_estimator():
    """An eighth each, and a little that all of them do; of small problems and of large ones."""
    shares = result_of(start(EIGHT_DEVICES, "shares"), seconds=500)
    assert set(shares) == {f"{name} {size}" for name in ESTIMATORS for size in ("small", "large")}
    assert all(1 / 8 <= share < 1 / 7 for share in shares.values()), shares


def test_problems_that_cannot_be_divided_are_refused(on_virtual_devices):
    assert on_virtual_devices["refused"] == (
        "3 problems cannot be divided among 2 devices: take a multiple of their number."
    )


@every_estimator
def test_two_processes_are_as_one_with_two_devices(estimator, in_two_processes, on_virtual_devices):
    one, other = (found[estimator]["2"] for found in in_two_processes)
    assert one == other
    assert one["devices"] == 2
    assert one["problems_here"] == [4]
    assert_close(one, on_virtual_devices[estimator]["2"])


@every_estimator
def test_a_state_that_is_divided_among_processes_is_gathered_whole_in_each(
    estimator, in_two_processes, on_virtual_devices
):
    states = [found[estimator]["2"] for found in (*in_two_processes, on_virtual_devices)]
    assert all(state["whole_is_here"] for state in states)
    # Where two devices are makes no difference, not even by rounding.
    assert len({state["whole"] for state in states}) == 1


def test_a_process_takes_the_arrays_of_the_first_bit_for_bit(in_two_processes, on_virtual_devices):
    first, other = (found["taken"] for found in in_two_processes)
    assert other == first == on_virtual_devices["taken"]


def test_two_processes_refuse_the_same(in_two_processes, on_virtual_devices):
    for found in in_two_processes:
        assert found["refused"] == on_virtual_devices["refused"]
