"""Gradient descent with one meta-learned learning rate: the least that can be learned."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from lopt.architectures.base import LearnedOptimizer
from lopt.architectures.elementwise import clean_gradient, scalar_by_scalar, updates_like
from lopt.architectures.learning_rates import (
    DEFAULT_LEARNING_RATE,
    InitialLearningRate,
    within_range,
)


class GlobalLearningRate(LearnedOptimizer):
    """Take `eta` times the gradient from the params, `eta` being the only meta-param.

    The optimizer of that name in the released code of Wichrowska et al. 2017 (PAPER.md
    section 4.8), whose rate begins at 1e-3 as ours does. There it is the rate itself that is
    meta-learned; here it is the rate's logarithm, so that no meta-step makes it negative and
    meta-steps are of one length relative to it; it is clipped to +-33. Gradient entries that
    are not finite count as zero.

    `initial_learning_rate` of `transformation` changes nothing: the rate was learned, and is
    used as learned. To scale it, put `optax.scale` behind it.

    Meta-train with a meta-learning rate of some 3e-2; a network's 3e-3 moves logarithms slowly.

    **Example**

    ```python
    optimizer = GlobalLearningRate.release(key=jax.random.key(0))
    transformation = optimizer.transformation()  # now the same as optax.sgd(1e-3)
    ```
    """

    log_learning_rate: Float[Array, ""]

    def __init__(self, *, key: Key[Array, ""]):
        # It begins where it begins, but meta-training gives every optimizer a key.
        del key
        self.log_learning_rate = jnp.asarray(math.log(1e-3), jnp.float32)

    @classmethod
    def release(cls, *, key: Key[Array, ""]) -> "GlobalLearningRate":
        """Return the optimizer with the defaults of the released code."""
        return cls(key=key)

    @classmethod
    def examples(cls) -> Sequence["GlobalLearningRate"]:
        return (cls.release(key=jax.random.key(0)),)

    def transformation(
        self, initial_learning_rate: InitialLearningRate = DEFAULT_LEARNING_RATE
    ) -> optax.GradientTransformationExtraArgs:
        def init(params: optax.Params) -> Any:
            del params
            return optax.EmptyState()

        def update(updates: optax.Updates, state: Any) -> tuple[optax.Updates, Any]:
            rate = jnp.exp(within_range(self.log_learning_rate))
            steps = jax.tree.map(lambda leaf: rate * leaf, clean_gradient(updates))
            return updates_like(updates, steps), state

        return scalar_by_scalar(init, update, initial_learning_rate)
