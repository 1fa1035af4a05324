"""A step of `AdafactorMLP` in a large tensor: arithmetic that is fused into two loops over it."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from lopt.architectures.adafactor_features import Scalars, own_features, scales
from lopt.architectures.adafactor_parts import Lines, Rule, Tensor
from lopt.architectures.factored_averages import Factor
from lopt.architectures.scalar_mlp import fused_product
from lopt.architectures.slabs import Slabs


def step_alone(
    rule: Rule,
    tensor: Tensor,
    lines: Lines,
    momenta: Sequence[Float[Array, "batch rows columns"]],
    mean_square: Float[Array, "batch rows columns"],
) -> tuple[Float[Array, "batch rows columns"], Scalars]:
    """Return what to take from the tensor, and the next state of its scalars.

    Features are never divided by their root mean squares: weights are. What is the same along
    a row or a column is weighed once for it.

    **Example**

    ```python
    step, scalars = step_alone(rule, tensor, lines_of(...), momenta, mean_square)
    ```
    """
    slabs = Slabs(tensor.means.shape)
    scalars = rule.next_scalars(tensor.gradient, tensor.params, momenta, mean_square)
    inputs = slabs.cut((scalars, lines.factors))

    def look(slab: Any) -> Array:
        inputs, valid = slab
        return _sums_of_squares(_features(*inputs), valid)

    sums = slabs.map(look, (inputs, slabs.cut(tensor.means.valid))).sum(0)
    own_weights, from_lines = _weigh(rule, tensor, lines, sums)

    def move(slab: Any) -> Array:
        inputs, (along_first, along_second) = slab
        constants = jnp.unstack(along_first + along_second)
        hidden = fused_product(own_weights, _features(*inputs), constants)
        return rule.step(*rule.mlp.after_first_fused(hidden))

    steps: Array = slabs.join(slabs.map(move, (inputs, slabs.cut(from_lines))))
    return steps, scalars


def _features(scalars: Scalars, factors: Sequence[Factor]) -> list[Array]:
    return own_features(scalars, factors[0].product(), factors[-1].product())


def _sums_of_squares(features: Sequence[Array], valid: Array | None) -> Float[Array, " features"]:
    squares = [jnp.square(feature) for feature in features]
    if valid is not None:
        squares = [jnp.where(valid, square, 0.0) for square in squares]
    # Along the columns first, which is done on whole vectors of the CPU.
    return jnp.stack([square.sum(2).sum() for square in squares])


def _weigh(
    rule: Rule, tensor: Tensor, lines: Lines, sums: Float[Array, " features"]
) -> tuple[Array, tuple[Array, Array]]:
    """Return the first layer's weights of own features, and what it makes of the lines'."""
    weights = rule.mlp.first.matrix
    own_weights = weights[: len(sums)] * scales(sums / tensor.means.total())[:, None]
    first, second = lines.features
    middle = len(sums) + len(first)

    def weigh(features: Array, weights: Array) -> Array:
        scaled = weights * scales(tensor.means.of_all(jnp.square(features)))[:, None]
        return jnp.einsum("fh,fbrc->hbrc", scaled, features)

    along_first = weigh(first, weights[len(sums) : middle]) + rule.bias()[:, None, None, None]
    return own_weights, (along_first, weigh(second, weights[middle : middle + len(second)]))
