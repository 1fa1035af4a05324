"""Gradient descent with a meta-learned learning rate for each of its first steps."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from lopt.architectures.base import LearnedOptimizer
from lopt.architectures.elementwise import clean_gradient, scalar_by_scalar, updates_like
from lopt.architectures.learning_rates import (
    DEFAULT_LEARNING_RATE,
    InitialLearningRate,
    within_range,
)


class LearningRateScheduleState(NamedTuple):
    """How many steps were taken: one count for all tensors, which step together."""

    inner_step: Int[Array, ""]


class LearningRateSchedule(LearnedOptimizer):
    """Take a rate times the gradient from the params, a meta-learned rate for every step.

    After `steps` steps the last rate stays. From the released code of Wichrowska et al. 2017
    (PAPER.md section 4.8) with two differences: there the rates themselves are meta-learned
    and begin at 0, with which nothing moves; here their logarithms are, which begin at that
    of 1e-3, where the released code's other optimizers begin, and are clipped to +-33. Gradient
    entries that are not finite count as zero.

    `initial_learning_rate` of `transformation` changes nothing: the rates were learned, and
    are used as learned. To scale them, put `optax.scale` behind it.

    Meta-train with a meta-learning rate of some 3e-2; a network's 3e-3 moves logarithms slowly.

    Raises `ValueError` for `steps` less than 1.

    **Example**

    ```python
    optimizer = LearningRateSchedule.release(key=jax.random.key(0))
    rates = jnp.exp(optimizer.log_learning_rates)  # [1000]
    ```
    """

    log_learning_rates: Float[Array, " steps"]
    steps: int = eqx.field(static=True)

    def __init__(self, *, steps: int = 1000, key: Key[Array, ""]):
        # They begin where they begin, but meta-training gives every optimizer a key.
        del key
        if steps < 1:
            raise ValueError(f"steps is {steps}, but a schedule needs a rate for 1 step at least.")
        self.steps = steps
        self.log_learning_rates = jnp.full((steps,), math.log(1e-3), jnp.float32)

    @classmethod
    def release(cls, **changes: Any) -> "LearningRateSchedule":
        """Return the optimizer with the released code's 1000 steps."""
        return cls(**changes)

    @classmethod
    def examples(cls) -> Sequence["LearningRateSchedule"]:
        return (cls.release(key=jax.random.key(0)),)

    def transformation(
        self, initial_learning_rate: InitialLearningRate = DEFAULT_LEARNING_RATE
    ) -> optax.GradientTransformationExtraArgs:
        def init(params: optax.Params) -> Any:
            del params
            return LearningRateScheduleState(jnp.zeros((), jnp.int32))

        def update(updates: optax.Updates, state: Any) -> tuple[optax.Updates, Any]:
            index = jnp.minimum(state.inner_step, self.steps - 1)
            rate = jnp.exp(within_range(self.log_learning_rates[index]))
            after = LearningRateScheduleState(jnp.asarray(optax.safe_increment(state.inner_step)))
            steps = jax.tree.map(lambda leaf: rate * leaf, clean_gradient(updates))
            return updates_like(updates, steps), after

        return scalar_by_scalar(init, update, initial_learning_rate)
