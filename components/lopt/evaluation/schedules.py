"""What becomes of a learning rate in the course of a trajectory."""

from collections.abc import Callable

import optax
from jaxtyping import Array, Float

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
