"""What `AdafactorMLP` learns: decays of averages, and an MLP of few units for every scalar."""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from lopt.architectures.adafactor_features import Scalars, repeated
from lopt.architectures.cells import Affine
from lopt.architectures.features import clip_straight_through

_LARGEST_EXPONENT = 80.0


class LearnedDecays(eqx.Module):
    """Decays `1 - exp(10 x)` of which the `x` are meta-learned.

    A meta-step changes how long is averaged by a factor, however near 1 a decay is. The form
    is that of the published code of Metz et al. 2022, https://arxiv.org/abs/2203.11860, where
    the meta-params are what is added to the initial `x`, and a decay of momentum may be
    negative, which here it may not.

    **Example**

    ```python
    LearnedDecays([0.9, 0.99]).rates()  # 0.1, 0.01
    ```
    """

    x: Float[Array, " decays"]

    def __init__(self, initial: Sequence[float]):
        # In float64, since float32 knows a decay near 1 but not how near.
        self.x = jnp.asarray(np.log1p(-np.asarray(initial, np.float64)) / 10, jnp.float32)

    def rates(self) -> Float[Array, " decays"]:
        """Return one minus each decay, which is what the newest value weighs."""
        return jnp.exp(10 * clip_straight_through(self.x, -jnp.inf, 0.0))


class ScalarMLP(eqx.Module):
    """Linear layers with relus between them.

    Matrices are drawn from a normal distribution of deviation 1/sqrt(fan_in), cut at two
    deviations; biases are zero. As in the published code of Metz et al. 2022,
    https://arxiv.org/abs/2203.11860.

    **Example**

    ```python
    mlp = ScalarMLP([39, 4, 4, 2], key=jax.random.key(0))
    outputs = mlp.after_first(mlp.first.matrix.T @ jnp.ones((39, 5)))  # [2, 5]
    ```
    """

    first: Affine
    others: tuple[Affine, ...]

    def __init__(self, widths: Sequence[int], *, key: Key[Array, ""]):
        keys = jax.random.split(key, len(widths) - 1)
        pairs = zip(widths[:-1], widths[1:], keys, strict=True)
        self.first, *others = (
            Affine(inputs, outputs, key=k, draw=_cut_normal) for inputs, outputs, k in pairs
        )
        self.others = tuple(others)

    def after_first(self, hidden: Float[Array, "hidden n"]) -> Float[Array, "outputs n"]:
        """Go on after the first layer by matrix products."""
        for layer in self.others:
            hidden = layer(jax.nn.relu(hidden))
        return hidden

    def after_first_fused(self, hidden: Sequence[Float[Array, "*shape"]]) -> list[Array]:
        """Go on after the first layer by arithmetic that compilers fuse into one loop."""
        for layer in self.others:
            active = [jax.nn.relu(unit) for unit in hidden]
            hidden = fused_product(layer.matrix, active, jnp.unstack(layer.bias))
        return list(hidden)


class Rule(NamedTuple):
    """What is the same for all params at a step; rates are what the newest value weighs."""

    mlp: ScalarMLP
    momentum_rates: Float[Array, " decays"]
    mean_square_rate: Float[Array, ""]
    factored_rates: Float[Array, " decays"]
    time: Float[Array, " timescales"]
    step_scale: float
    magnitude_scale: float

    def bias(self) -> Float[Array, " hidden"]:
        """Return the first layer's bias together with what comes from the time features."""
        first = self.mlp.first
        return first.bias + self.time @ first.matrix[-self.time.size :]

    def step(self, direction: Array, magnitude: Array) -> Array:
        """Return what to take from the params."""
        return _step(self.step_scale, self.magnitude_scale, direction, magnitude)

    def next_scalars(
        self,
        gradient: Float[Array, "batch rows columns"],
        params: Float[Array, "batch rows columns"],
        momenta: Float[Array, "decays batch rows columns"],
        mean_square: Float[Array, "batch rows columns"],
    ) -> Scalars:
        """Move the averages that every scalar has on by one step."""
        moved = momenta + self.momentum_rates[:, None, None, None] * (
            repeated(gradient, len(momenta)) - momenta
        )
        change = self.mean_square_rate * (jnp.square(gradient) - mean_square)
        return Scalars(gradient, params, moved, mean_square + change)


def fused_product(
    matrix: Float[Array, "inputs outputs"],
    inputs: Sequence[Float[Array, "*shape"]],
    outputs: Sequence[Float[Array, "..."]],
) -> list[Array]:
    """Add the inputs times the matrix to the outputs, number by number.

    On a CPU this takes a fifth of the time of a matrix product at a width of four, since no
    input has to be written to memory; it takes longer to compile.

    **Example**

    ```python
    fused_product(jnp.ones((2, 1)), [jnp.ones(5), jnp.ones(5)], [jnp.zeros(5)])  # [2, ...]
    ```
    """
    sums = list(outputs)
    for weights, one_input in zip(jnp.unstack(matrix), inputs, strict=True):
        for unit, weight in enumerate(jnp.unstack(weights)):
            sums[unit] = sums[unit] + weight * one_input
    return sums


# By hand, to keep two numbers a scalar for whoever differentiates, not four.
@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _step(
    step_scale: float,
    magnitude_scale: float,
    direction: Float[Array, "*shape"],
    magnitude: Float[Array, "*shape"],
) -> Float[Array, "*shape"]:
    # An infinite exponential times a direction of 0 would be NaN.
    exponent = jnp.minimum(magnitude_scale * magnitude, _LARGEST_EXPONENT)
    return step_scale * jnp.exp(exponent) * direction


@_step.defjvp
def _step_jvp(
    step_scale: float,
    magnitude_scale: float,
    primals: tuple[Array, Array],
    tangents: tuple[Array, Array],
) -> tuple[Array, Array]:
    (direction, magnitude), (by_direction, by_magnitude) = primals, tangents
    exponent = magnitude_scale * magnitude
    length = step_scale * jnp.exp(jnp.minimum(exponent, _LARGEST_EXPONENT))
    step = length * direction
    slope = jnp.where(exponent < _LARGEST_EXPONENT, magnitude_scale * step, 0.0)
    return step, length * by_direction + slope * by_magnitude


def _cut_normal(key: Key[Array, ""], inputs: int, outputs: int) -> Float[Array, "inputs outputs"]:
    normal = jax.random.truncated_normal(key, -2.0, 2.0, (inputs, outputs), jnp.float32)
    return normal / math.sqrt(inputs)
