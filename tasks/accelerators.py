"""The devices that a meta-training works on, and how much of their memory it takes."""

import contextlib
import os
from typing import TYPE_CHECKING

from tasks.confs import MetaTrainingConf

if TYPE_CHECKING:
    from jax.sharding import Mesh


def prepare(conf: MetaTrainingConf) -> None:
    """Tell JAX what it has to know before it looks for devices; later it has no effect.

    A processor is made as many devices as are asked for, one for each of its cores at most.
    The limit of memory: https://docs.jax.dev/en/latest/gpu_memory_allocation.html.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{conf.memory_fraction:.3f}")
    if conf.devices > 1:
        import jax

        # Too late where devices were looked for already; `refusal` counts those that there are.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", min(conf.devices, os.cpu_count() or 1))


def mesh_of(conf: MetaTrainingConf) -> "Mesh | None":
    """Return the devices to divide the problems among, `None` for one alone."""
    import jax

    from lopt.meta_training import problem_mesh

    count = conf.devices or len(jax.devices())
    return None if count == 1 else problem_mesh(jax.devices()[:count])


def refusal(conf: MetaTrainingConf) -> list[str]:
    """Return why the devices of a conf cannot be had, nothing where they can."""
    if conf.devices == 1:
        return []
    import jax

    prepare(conf)
    there = len(jax.devices())
    if conf.devices > there:
        return [f"meta_training.devices: {conf.devices} is not allowed; allowed: at most {there}"]
    count = conf.devices or there
    if conf.problems % count:
        return [
            f"meta_training.problems: {conf.problems} is not allowed; allowed: a multiple of "
            f"{count}, the number of devices"
        ]
    return []
