"""How well an optimizer does on problems that meta-training does not draw.

It is measured by the compiled programs of meta-training themselves, with a meta-learning rate
of 0: a program of its own for every family would take minutes to compile.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Key

from lopt.ensembles import Group
from lopt.meta_training.ahead import compiling_ahead
from lopt.meta_training.devices import on_all
from lopt.meta_training.metrics import MetaMetrics
from lopt.meta_training.settings import MetaTraining
from lopt.meta_training.state import MetaState, init_meta_state, placed
from lopt.meta_training.steps import take_turn, with_a_program

LEFT_OUT = math.log(1e6)
"""What a problem without a finite meta-loss counts as: as one whose loss has grown so much."""
_AFTER_ALL = 2**30
"""A meta-step at which every curriculum is over."""


def validation_losses(
    training: MetaTraining,
    groups: Sequence[Group],
    meta_state: MetaState,
    key: Key[Array, ""],
    meta_steps: int,
    mesh: Mesh | None = None,
) -> dict[str, float]:
    """Return the mean meta-loss of each family over some meta-steps on its own trajectories.

    They begin anew for each call and are the same for the same key, so that what differs
    between two calls is the optimizer; a curriculum of lengths is over. Only their first
    `meta_steps` unrolls are seen. The estimator's own meta-loss is measured: evolution
    strategies perturb the meta-params. Who is left out of a meta-gradient counts as `LEFT_OUT`,
    or an optimizer that breaks nearly all problems would be judged by the others. A family of
    which no problem gave a finite meta-loss has NaN. Waits for the device. Groups of the
    forms of the training's need no compiling.

    Raises `ValueError` if `meta_steps` is not positive, and `TooManyProgramsError` where a process
    cannot hold what has to be compiled.

    **Example**

    ```python
    losses = validation_losses(training, held_out, meta_state, jax.random.key(1), meta_steps=5)
    ```
    """
    if meta_steps < 1:
        raise ValueError(f"meta_steps is {meta_steps}, but must be at least 1.")
    state = _standing_still(training, groups, meta_state, key)
    groups, state = on_all(tuple(groups), mesh), placed(state, mesh)
    schedule = training.schedule(groups)
    found: dict[str, list[_Step]] = {group.family: [] for group in groups}
    # Whose turn has not come yet in meta-training may have no program.
    with compiling_ahead(training, groups, state, schedule, mesh, 0, None) as ahead:
        for bundle in range(len(schedule.bundles)):
            ahead.wait_for(bundle)
            done = 0
            while done < meta_steps:
                count = min(meta_steps - done, training.steps_per_dispatch)
                turn = with_a_program(training, schedule.turn_of(bundle, done, count))
                state, metrics = take_turn(training, groups, state, turn, mesh)
                for family, steps in _steps(metrics).items():
                    found[family] += steps[:count]
                done += count
    return {family: _mean(steps) for family, steps in found.items()}


def _standing_still(
    training: MetaTraining,
    groups: Sequence[Group],
    meta_state: MetaState,
    key: Key[Array, ""],
) -> MetaState:
    fresh = init_meta_state(training, meta_state.optimizer, groups, key)
    return dataclasses.replace(
        fresh,
        meta_step=jnp.full_like(fresh.meta_step, _AFTER_ALL),
        rate_scale=jnp.zeros_like(fresh.rate_scale),
    )


class _Step(NamedTuple):
    """The meta-loss of a family's sound problems, NaN without any, and the part left out."""

    loss: float
    left_out: float


def _steps(metrics: MetaMetrics) -> dict[str, list[_Step]]:
    """Return what each family had at each meta-step."""
    rows, steps = metrics.rows(), {}
    for family, faults in zip(metrics.families, jax.device_get(metrics.faults), strict=True):
        left_out = faults.bad if faults.beside is None else faults.bad & ~faults.beside
        parts = np.mean(left_out[: metrics.steps], axis=1)
        steps[family] = [
            _Step(row[f"meta/loss/{family}"], float(part))
            for row, part in zip(rows, parts, strict=True)
        ]
    return steps


def _mean(steps: Sequence[_Step]) -> float:
    losses, parts = np.array(steps).T
    none = parts == 1
    if none.all():
        return float("nan")
    # Zero times NaN is NaN: where nobody is sound there is no loss to be weighed.
    return float(np.where(none, LEFT_OUT, (1 - parts) * losses + parts * LEFT_OUT).mean())


def weighted(losses: dict[str, float], groups: Sequence[Group]) -> float:
    """Return the mean over the families by their weights; NaN if one of them is.

    **Example**

    ```python
    loss = weighted({"bowls": -1.0}, groups)
    ```
    """
    weights = jax.device_get([group.weights.sum() for group in groups])
    values = [losses[group.family] for group in groups]
    return float(np.average(values, weights=weights))
