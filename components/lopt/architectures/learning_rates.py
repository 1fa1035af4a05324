"""Where the learned learning rates of an optimizer begin."""

import itertools
import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from lopt.architectures.features import clip_straight_through

LARGEST_LOG_LEARNING_RATE = 33.0
"""Log learning rates are clipped to plus and minus this: PAPER.md section 3.2."""
DEFAULT_LEARNING_RATE = 1e-5
"""What a user gets who says nothing: within meta-training's range, nearer to its lower end.

The best of four on a network 784-32-10 for Fashion-MNIST (LOG.md), so that the target
"fashion_mnist/mlp" says nothing about it; no evaluation has that one unless it is asked for.
"""


class RandomLearningRate(eqx.Module):
    """Initial learning rates drawn as in meta-training, reproducible by the key.

    Half of the logarithm is drawn for every scalar, the other half once for its tensor, each
    uniformly over half the range: as the released code's HierarchicalRNN does, where the paper
    says log-uniform (PAPER.md section 3.3, Wichrowska et al. 2017, section 3.2.4).

    **Example**

    ```python
    start = RandomLearningRate(jax.random.key(0), low=1e-6, high=1e-2)
    transformation = optimizer.transformation(start)
    ```
    """

    key: Key[Array, ""]
    low: float = eqx.field(static=True, default=1e-6)
    high: float = eqx.field(static=True, default=1e-2)

    def __check_init__(self) -> None:
        if not 0 < self.low <= self.high:
            raise ValueError(
                f"The range of initial learning rates must be 0 < low <= high, but low is "
                f"{self.low} and high is {self.high}."
            )


def within_range(log_rate: Float[Array, " *shape"]) -> Float[Array, " *shape"]:
    """Clip log learning rates to +-33, with the derivative of the identity.

    An infinite rate times a gradient of 0 would be NaN, and meta-training can ask for one.

    **Example**

    ```python
    within_range(jnp.array([-7.0, 90.0]))  # [-7, 33]
    ```
    """
    return clip_straight_through(log_rate, -LARGEST_LOG_LEARNING_RATE, LARGEST_LOG_LEARNING_RATE)


InitialLearningRate = float | int | np.floating | np.integer | Float[Array, ""] | RandomLearningRate


def check_initial_learning_rate(initial: InitialLearningRate) -> None:
    """Raise `ValueError` for a number that is not positive and finite.

    Of an array, which may be traced, the values are not looked at.

    **Example**

    ```python
    check_initial_learning_rate(1e-3)
    ```
    """
    if isinstance(initial, float | int | np.number) and not 0.0 < initial < math.inf:
        raise ValueError(
            f"The initial learning rate must be positive and finite, but is {initial}; without "
            f"one it is {DEFAULT_LEARNING_RATE}."
        )


def initial_log_learning_rates(
    initial: InitialLearningRate, sizes: Sequence[int]
) -> list[Float[Array, " scalars"]]:
    """Return the initial log learning rates, for each tensor a float32 vector of its size.

    Raises `ValueError` for a number that is not positive and finite; of an array, which may
    be traced, the values are not looked at.

    **Example**

    ```python
    weights, bias = initial_log_learning_rates(1e-3, sizes=[20, 2])
    ```
    """
    check_initial_learning_rate(initial)
    if not isinstance(initial, RandomLearningRate):
        log_rate = jnp.log(jnp.asarray(initial, jnp.float32))
        return [jnp.full((size,), log_rate) for size in sizes]
    low, high = 0.5 * math.log(initial.low), 0.5 * math.log(initial.high)
    scalar_key, tensor_key = jax.random.split(initial.key)
    # Drawn for all tensors at once: every draw costs a program half a second to compile.
    per_scalar = jax.random.uniform(scalar_key, (sum(sizes),), jnp.float32, low, high)
    per_tensor = jax.random.uniform(tensor_key, (len(sizes),), jnp.float32, low, high)
    ends = list(itertools.accumulate(sizes))
    return [
        per_scalar[end - size : end] + per_tensor[index]
        for index, (size, end) in enumerate(zip(sizes, ends, strict=True))
    ]
