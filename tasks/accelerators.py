"""The devices that a meta-training works on, and how much of their memory it takes."""

import contextlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.confs import MetaTrainingConf
from tasks.processes import Company, company

if TYPE_CHECKING:
    import jax
    from jax.sharding import Mesh

MOST_CPU_DEVICES = 8
"""Of one process, where the conf leaves it open: what a device does alone does not get less."""


def prepare(conf: MetaTrainingConf) -> None:
    """Tell JAX what it has to know before it looks for devices; later it has no effect.

    A processor is made as many devices as are asked for, one for each of its cores at most, and
    where that is left open as many as divide the problems. GPUs are as many as they are.
    The limit of memory: https://docs.jax.dev/en/latest/gpu_memory_allocation.html.
    """
    from lopt.cores import usable_cores

    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{conf.memory_fraction:.3f}")
    # Several processes have agreed on it (`agree`), and who runs a flow may have said it to JAX.
    if company() is None and not _said_by_user():
        _divide_processor(_wanted(conf, usable_cores(), processes=1))


def agree(conf: MetaTrainingConf, found: Company) -> None:
    """Make the processors of all processes as many devices, as process 0 finds right."""
    if found.leads:
        count = _wanted(conf, _cores_of_each(found), found.count)
        found.say("divide-processors", devices=count)
    else:
        count = found.next_word().facts["devices"]
    _divide_processor(count)


def mesh_of(conf: MetaTrainingConf) -> "Mesh | None":
    """Return the devices to divide the problems among, `None` for one alone."""
    from lopt.meta_training import problem_mesh

    devices = _devices(conf)
    return None if len(devices) == 1 else problem_mesh(devices)


def described(conf: MetaTrainingConf) -> str:
    """Say in a line what the problems are divided among, and why not among more."""
    import jax

    devices, there = _devices(conf), jax.devices()
    count, kind = len(devices), devices[0].device_kind
    name = kind if devices[0].platform != "cpu" else "the processor"
    parts = "1 device" if count == 1 else f"{count} devices"
    if (processes := jax.process_count()) > 1:
        parts += f" in {processes} processes"
    each = f"{conf.problems // count} of {conf.problems} problems of a group each"
    return f"{parts}: {name}, {each}{_why_not_more(conf, count, len(there))}"


def refusal(conf: MetaTrainingConf) -> list[str]:
    """Return why the devices of a conf cannot be had, nothing where they can."""
    import jax

    prepare(conf)
    there, processes = len(jax.devices()), jax.process_count()
    if jax.local_device_count() * processes != there:
        return [
            f"process {jax.process_index()} has {jax.local_device_count()} of {there} devices; "
            f"allowed: equally many in each of the {processes} processes"
        ]
    count = conf.devices or processes
    if count > there:
        return [f"meta_training.devices: {count} is not allowed; allowed: at most {there}"]
    if count % processes:
        return [
            f"meta_training.devices: {count} is not allowed; allowed: a multiple of "
            f"{processes}, the number of processes"
        ]
    if conf.problems % count:
        of = "devices" if conf.devices else "processes"
        return [
            f"meta_training.problems: {conf.problems} is not allowed; allowed: a multiple of "
            f"{count}, the number of {of}"
        ]
    return []


def _wanted(conf: MetaTrainingConf, cores: int, processes: int) -> int:
    """Return how many devices to make of the processor of each process."""
    if conf.devices is not None:
        return max(1, min(conf.devices // processes, cores))
    return _most(conf.problems, min(cores, MOST_CPU_DEVICES), processes)


def _most(problems: int, at_most: int, processes: int) -> int:
    """Return the most devices in each process that the problems can be divided among, or 1."""
    fitting = [n for n in range(1, at_most + 1) if problems % (n * processes) == 0]
    return max(fitting, default=1)


def _cores_of_each(found: Company) -> int:
    """Return the cores for each process, those on one host sharing its cores."""
    on_host = [one.host for one in found.present]
    return max(1, min(one.cores // on_host.count(one.host) for one in found.present))


def _said_by_user() -> bool:
    flags = os.environ.get("XLA_FLAGS", "")
    return "JAX_NUM_CPU_DEVICES" in os.environ or "host_platform_device_count" in flags


def _divide_processor(count: int) -> None:
    import jax

    # Too late where devices were looked for already; those that there are are taken.
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", count)


def _devices(conf: MetaTrainingConf) -> "Sequence[jax.Device]":
    """Return the devices of all processes, as many of each."""
    import jax

    processes = jax.process_count()
    if conf.devices is None:
        count = _most(conf.problems, jax.local_device_count(), processes)
    else:
        count = conf.devices // processes
    there = jax.devices()
    of_process = [[d for d in there if d.process_index == n] for n in range(processes)]
    return [device for devices in of_process for device in devices[:count]]


def _why_not_more(conf: MetaTrainingConf, count: int, there: int) -> str:
    from lopt.cores import usable_cores

    if conf.devices is not None:
        return ""
    if count < there:
        return f" ({there} devices cannot divide {conf.problems})"
    import jax

    wanted = _wanted(conf, usable_cores(), processes=1)
    if jax.default_backend() == "cpu" and jax.process_count() == 1 and wanted > count:
        return f" ({wanted} if JAX had not been used before in this process)"
    return ""
