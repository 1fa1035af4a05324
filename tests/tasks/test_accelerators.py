import os
from collections.abc import Callable
from typing import Any

import jax
import pytest

from tasks import accelerators
from tasks.accelerators import described, mesh_of, refusal
from tasks.confs import MetaTrainingConf
from tasks.processes import Company, Presence

Conf = Callable[..., MetaTrainingConf]


def conf(**values: Any) -> MetaTrainingConf:
    return MetaTrainingConf(**values)


@pytest.mark.parametrize(
    ("values", "cores", "processes", "devices"),
    [
        ({"problems": 24}, 2, 1, 2),
        ({"problems": 24}, 5, 1, 4),
        ({"problems": 24}, 7, 1, 6),
        ({"problems": 24}, 64, 1, 8),
        ({"problems": 23}, 8, 1, 1),
        ({"problems": 1}, 8, 1, 1),
        ({"problems": 24}, 8, 2, 6),
        ({"problems": 24}, 8, 4, 6),
        ({"problems": 24, "devices": 3}, 8, 1, 3),
        ({"problems": 24, "devices": 12}, 2, 1, 2),
        ({"problems": 24, "devices": 12}, 8, 2, 6),
    ],
)
def test_a_processor_is_as_many_devices_as_divide_the_problems(
    values: dict[str, int], cores: int, processes: int, devices: int
) -> None:
    assert accelerators._wanted(conf(**values), cores, processes) == devices


def test_processes_on_one_host_share_its_cores() -> None:
    company = Company(None, 0, 3)
    on = [("a", 8), ("a", 8), ("b", 6)]
    company.present = tuple(Presence(host, cores, "", "") for host, cores in on)
    assert accelerators._cores_of_each(company) == 4


@pytest.mark.parametrize(("said", "taken"), [(None, "0.500"), ("0.9", "0.9")])
def test_a_gpu_s_memory_is_taken_as_the_conf_or_before_it_the_user_says(
    said: str | None, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = "XLA_PYTHON_CLIENT_MEM_FRACTION"
    # Set first, so that what `prepare` sets is taken back, too.
    monkeypatch.setenv(variable, said or "")
    if said is None:
        monkeypatch.delenv(variable)
    accelerators.prepare(conf(problems=24, devices=1, memory_fraction=0.5))
    assert os.environ[variable] == taken


def test_devices_that_jax_has_begun_with_are_taken_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(jax.devices()) == 1
    monkeypatch.setattr("lopt.cores.usable_cores", lambda: 4)
    assert refusal(conf(problems=24)) == []
    assert mesh_of(conf(problems=24)) is None
    assert described(conf(problems=24)) == (
        "1 device: the processor, 24 of 24 problems of a group each "
        "(4 if JAX had not been used before in this process)"
    )


def test_devices_that_are_asked_for_and_cannot_divide_the_problems_are_refused() -> None:
    (line,) = refusal(conf(problems=24, devices=2))
    assert line == "meta_training.devices: 2 is not allowed; allowed: at most 1"
