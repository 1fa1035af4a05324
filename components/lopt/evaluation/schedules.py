"""What becomes of a learning rate in the course of a trajectory."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

LearningRate = Float[Array, ""] | optax.Schedule
Schedule = Callable[[Float[Array, ""], int], LearningRate]
"""From a rate of the sweep and the target's number of steps to what an optimizer is made with."""


def constant(rate: Float[Array, ""], steps: int) -> LearningRate:
    """Return the rate itself, for every step.

    **Example**

    ```python
    optax.adam(constant(jnp.float32(1e-3), steps=500))
    ```
    """
    del steps
    return rate


def cosine(rate: Float[Array, ""], steps: int) -> LearningRate:
    """Return half a cosine from the rate to 0 at the target's last step.

    Without warm-up and restarts: Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983.

    **Example**

    ```python
    optax.adamw(cosine(jnp.float32(1e-3), steps=500))
    ```
    """
    return optax.cosine_decay_schedule(rate, steps)


class StaysOrFalls(eqx.Module):
    """A rate that stays, or that falls as half a cosine: as data, in one compiled program.

    To compile an optimizer on a target takes longer than to train there. The rates are those of
    `constant` and `cosine` to the bit.

    **Example**

    ```python
    Candidate("Adan+cosine", optax.adan, (1e-4, 1e-3, 1e-2), StaysOrFalls(falls=True))
    ```
    """

    falls: bool | Bool[Array, ""]

    def __call__(self, rate: Float[Array, ""], steps: int) -> LearningRate:
        """Return what an optimizer is made with, for this rate and number of steps."""
        part = optax.cosine_decay_schedule(1.0, steps)
        return lambda count: rate * jnp.where(self.falls, jnp.asarray(part(count)), 1.0)


def as_data(schedule: Schedule) -> Schedule:
    """Return a schedule whose numbers are arguments of a compiled program.

    **Example**

    ```python
    as_data(StaysOrFalls(falls=True)).falls  # Array(True, dtype=bool)
    ```
    """
    if not isinstance(schedule, StaysOrFalls):
        return schedule
    return StaysOrFalls(jnp.asarray(schedule.falls))
