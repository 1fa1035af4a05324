"""A step of `AdafactorMLP` in some small tensors together, or in a large one alone.

Small tensors lie one after the other and go through matrix products: few operations for many
tensors, quickly compiled. In a large tensor arithmetic is fused into two loops over it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from lopt.architectures.adafactor_features import (
    Factor,
    FactoredAverages,
    Scalars,
    factors,
    line_features,
    own_features,
    scales,
    shorter_axis_first,
)
from lopt.architectures.adafactor_rule import Rule, fused_product
from lopt.architectures.blocks import Blocks
from lopt.architectures.features import clean
from lopt.architectures.tensor_views import Means, Slabs, View

LARGEST_GRADIENT = 1e8
"""Of larger ones the fourth power, the square of a feature, overflows float32."""


class Tensor(NamedTuple):
    """A tensor as it is seen; the gradient is zero in padding."""

    view: View
    means: Means
    gradient: Float[Array, "batch rows columns"]
    params: Float[Array, "batch rows columns"]

    def unsee(self, step: Float[Array, "batch rows columns"]) -> Array:
        """Return the step in the tensor's shape, zero in padding."""
        if self.means.valid is not None:
            step = jnp.where(self.means.valid, step, 0.0)
        return self.view.unsee(step)


class Lines(NamedTuple):
    """What comes from the averages of a tensor's rows and columns, or a vector's scalars."""

    # The first for the gradient, the last for its averages.
    factors: tuple[Factor, ...]
    # Along the shorter axis and along the longer one.
    features: tuple[Float[Array, "features batch _ _"], Float[Array, "features batch _ _"]]


def lines_of(averages: FactoredAverages, means: Means) -> Lines:
    """Return what a tensor's averages say.

    **Example**

    ```python
    lines = lines_of(averages, Means((1, 784, 120)))
    ```
    """
    first, second = shorter_axis_first(averages, means)
    features = line_features(first), line_features(second)
    return Lines(factors(averages, means), features)


def tensors_of(
    updates: optax.Updates, params: optax.Params, valid: PyTree[Array] | None
) -> list[Tensor]:
    """Return the tensors of a gradient that have elements, in the order of the leaves.

    Raises `ValueError` if params or `valid` are not built as the gradient is.

    **Example**

    ```python
    weights, = tensors_of({"weights": jnp.ones((4, 5))}, {"weights": jnp.zeros((4, 5))}, None)
    ```
    """
    trees = (updates, params) if valid is None else (updates, params, valid)
    seen = jax.tree.map(_tensor, *trees)
    leaves = jax.tree.leaves(seen, is_leaf=lambda node: isinstance(node, Tensor))
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def step_together(
    rule: Rule,
    tensors: Sequence[Tensor],
    lines: Sequence[Lines],
    momenta: Sequence[Float[Array, "1 1 n"]],
    mean_square: Float[Array, "1 1 n"],
) -> tuple[list[Float[Array, "batch rows columns"]], Scalars]:
    """Return what to take from each tensor, and the next state of their `n` scalars.

    The tensors lie one after the other and go through matrix products.

    **Example**

    ```python
    (step,), scalars = step_together(rule, [tensor], [lines_of(...)], momenta, mean_square)
    ```
    """

    def join(parts: Sequence[Float[Array, "many _ _ _"]]) -> Float[Array, "many 1 1 n"]:
        shapes = [
            (len(part), *tensor.view.shape) for part, tensor in zip(parts, tensors, strict=True)
        ]
        spread = map(jnp.broadcast_to, parts, shapes)
        return jnp.concatenate([part.reshape(len(part), 1, 1, -1) for part in spread], axis=3)

    gradient, params = join([jnp.stack([tensor.gradient, tensor.params]) for tensor in tensors])
    scalars = rule.next_scalars(gradient, params, momenta, mean_square)
    own = own_features(
        scalars,
        join([line.factors[0].product() for line in lines]),
        join([line.factors[-1].product() for line in lines]),
    )
    shared = [join([line.features[axis] for line in lines]) for axis in (0, 1)]
    features = jnp.concatenate([jnp.stack(own), *shared])[:, 0, 0]
    packed = Blocks(tuple(tensor.view.size for tensor in tensors))
    weights = rule.mlp.first.matrix[: len(features)]
    hidden = weights.T @ _normalised(features, packed, tensors) + rule.bias()[:, None]
    steps = packed.unpack(rule.step(*rule.mlp.after_first(hidden))[None])
    shapes = [tensor.view.shape for tensor in tensors]
    return [step.reshape(shape) for step, shape in zip(steps, shapes, strict=True)], scalars


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


def _tensor(gradient: Any, params: Any, valid: Any = None) -> Tensor | None:
    shapes = [np.shape(leaf) for leaf in (gradient, params, valid) if leaf is not None]
    if len(set(shapes)) > 1:
        raise ValueError(
            f"A gradient, its params and what of them is valid have the shapes {shapes}, but must "
            "have one shape: check the order of update(gradient, opt_state, params, valid=...)."
        )
    view = View(np.shape(gradient))
    if not view.size:
        return None
    gradient, params = (view.see(clean(jnp.asarray(leaf))) for leaf in (gradient, params))
    gradient = jnp.clip(gradient, -LARGEST_GRADIENT, LARGEST_GRADIENT)
    if valid is None:
        return Tensor(view, Means(view.shape), gradient, params)
    valid = view.see(jnp.asarray(valid, bool))
    return Tensor(view, Means(view.shape, valid), jnp.where(valid, gradient, 0.0), params)


def _normalised(
    features: Float[Array, "features n"], packed: Blocks, tensors: Sequence[Tensor]
) -> Float[Array, "features n"]:
    """Divide features by their root mean squares over each tensor."""
    valid = [tensor.means.valid for tensor in tensors]
    extent = packed.extent([part.reshape(-1) for part in valid if part is not None] or None)
    in_block = None if extent.valid is None else extent.valid[0]
    sums = packed.sum_rows(jnp.square(features), in_block)
    return features * packed.spread(scales(packed.mean(sums[None], extent.counts)))[0]


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
