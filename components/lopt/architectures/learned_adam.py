"""Adam whose four numbers are meta-learned."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, PyTree

from lopt.architectures.base import LearnedOptimizer
from lopt.architectures.elementwise import clean_gradient, scalar_by_scalar, updates_like
from lopt.architectures.features import clip_straight_through
from lopt.architectures.learning_rates import (
    DEFAULT_LEARNING_RATE,
    InitialLearningRate,
    within_range,
)

LARGEST_LOGIT = 15.0
"""Of a decay: beyond it float32 hardly tells the decay from 1, and 1 makes no average."""


class LearnedAdamState(NamedTuple):
    """What Adam remembers: two float32 numbers for every scalar, and one step count."""

    inner_step: Int[Array, ""]
    momenta: PyTree[Array]
    mean_squares: PyTree[Array]


class LearnedAdam(LearnedOptimizer):
    """Adam with a meta-learned learning rate, beta1, beta2 and epsilon.

    Begins at Adam's usual numbers: 1e-3, 0.9, 0.999 and 1e-8. `TrainableAdam` of the released
    code of Wichrowska et al. 2017 (PAPER.md section 4.8), with its defect mended that the
    second moment was no average; as there, 1e-10 is added to the unbiased second moment,
    whose root has no finite derivative at 0, so that steps are shorter than Adam's where
    gradients are not much larger than 1e-5, and another 1e-10 to epsilon itself. Logarithms
    are clipped to +-33 and logits of the decays to +-15, and gradient entries that are not
    finite count as zero. Kingma and Ba 2015, https://arxiv.org/abs/1412.6980, algorithm 1.

    `initial_learning_rate` of `transformation` changes nothing: the rate was learned, and is
    used as learned. To scale it, put `optax.scale` behind it.

    Meta-train with a meta-learning rate of some 3e-2; a network's 3e-3 moves logarithms slowly.

    **Example**

    ```python
    optimizer = LearnedAdam.release(key=jax.random.key(0))
    transformation = optimizer.transformation()  # nearly the same as optax.adam(1e-3)
    ```
    """

    log_learning_rate: Float[Array, ""]
    beta1_logit: Float[Array, ""]
    beta2_logit: Float[Array, ""]
    log_epsilon: Float[Array, ""]

    def __init__(self, *, key: Key[Array, ""]):
        # It begins where it begins, but meta-training gives every optimizer a key.
        del key
        self.log_learning_rate = jnp.asarray(math.log(1e-3), jnp.float32)
        self.beta1_logit = jnp.asarray(math.log(0.9 / 0.1), jnp.float32)
        self.beta2_logit = jnp.asarray(math.log(0.999 / 0.001), jnp.float32)
        self.log_epsilon = jnp.asarray(math.log(1e-8), jnp.float32)

    @classmethod
    def release(cls, *, key: Key[Array, ""]) -> "LearnedAdam":
        """Return the optimizer with the defaults of the released code."""
        return cls(key=key)

    @classmethod
    def examples(cls) -> Sequence["LearnedAdam"]:
        return (cls.release(key=jax.random.key(0)),)

    def transformation(
        self, initial_learning_rate: InitialLearningRate = DEFAULT_LEARNING_RATE
    ) -> optax.GradientTransformationExtraArgs:
        def init(params: optax.Params) -> Any:
            return LearnedAdamState(
                inner_step=jnp.zeros((), jnp.int32),
                momenta=optax.tree.zeros_like(params, dtype=jnp.float32),
                mean_squares=optax.tree.zeros_like(params, dtype=jnp.float32),
            )

        return scalar_by_scalar(init, self._update, initial_learning_rate)

    def _update(
        self, updates: optax.Updates, state: LearnedAdamState
    ) -> tuple[optax.Updates, LearnedAdamState]:
        gradient = clean_gradient(updates)
        squares = jax.tree.map(jnp.square, gradient)
        inner_step = jnp.asarray(optax.safe_increment(state.inner_step))
        beta1, beta2 = _within_range(self.beta1_logit), _within_range(self.beta2_logit)
        momenta = _average(beta1, state.momenta, gradient)
        mean_squares = _average(beta2, state.mean_squares, squares)
        rate = jnp.exp(within_range(self.log_learning_rate)) / _total_weight(beta1, inner_step)
        square_weight = _total_weight(beta2, inner_step)
        epsilon = jnp.exp(within_range(self.log_epsilon)) + 1e-10

        def step(momentum: Array, mean_square: Array) -> Array:
            return rate * momentum / (jnp.sqrt(mean_square / square_weight + 1e-10) + epsilon)

        steps = jax.tree.map(step, momenta, mean_squares)
        return updates_like(updates, steps), LearnedAdamState(inner_step, momenta, mean_squares)


def _within_range(logit: Float[Array, ""]) -> Float[Array, ""]:
    return clip_straight_through(logit, -LARGEST_LOGIT, LARGEST_LOGIT)


def _average(logit: Float[Array, ""], old: PyTree[Array], new: PyTree[Array]) -> PyTree[Array]:
    """Move the averages on by one step, `logit` being that of their decay."""
    # 1 - sigmoid(logit) would lose the digits of a decay near 1.
    keep, take = jax.nn.sigmoid(logit), jax.nn.sigmoid(-logit)
    return jax.tree.map(lambda before, now: keep * before + take * now, old, new)


def _total_weight(logit: Float[Array, ""], steps: Int[Array, ""]) -> Float[Array, ""]:
    """Return what averages that began at zero have to be divided by: 1 - decay^steps."""
    return -jnp.expm1(steps.astype(jnp.float32) * jax.nn.log_sigmoid(logit))
