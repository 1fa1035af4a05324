"""A step of `AdafactorMLP` in a large tensor: arithmetic that is fused into two loops over it."""

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
    next_averages,
    own_features,
    scales,
    shorter_axis_first,
)
from lopt.architectures.adafactor_rule import Rule, fused_product
from lopt.architectures.tensor_views import Means, Slabs, View

LARGEST_GRADIENT = 1e8
"""Of larger ones the fourth power, the square of a feature, overflows float32."""
LARGEST_PARAM = 1e15


class PieceState(NamedTuple):
    """What is remembered of some small tensors together, or of a large one alone.

    For every scalar the averages of its gradient and one of the gradient's square, at the
    published decays 4 floats; for every row and column, or every scalar of a vector, 3 more.
    """

    momenta: Float[Array, "decays batch rows columns"]
    mean_square: Float[Array, "batch rows columns"]
    averages: tuple[FactoredAverages, ...]


class Tensor(NamedTuple):
    """A tensor as it is seen, in float32; the gradient is zero in padding."""

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


@jax.custom_jvp
def bounded(largest: Float[Array, "..."] | float, values: Float[Array, "..."]) -> Array:
    """Return values of which those that are not finite are zero, others cut.

    **Example**

    ```python
    bounded(2.0, jnp.array([jnp.nan, 3.0]))  # 0, 2
    ```
    """
    return jnp.where(jnp.isfinite(values), jnp.clip(values, -largest, largest), 0.0)


# One truth value to be kept of each, not one for being finite and one for being small enough.
@bounded.defjvp
def _bounded_jvp(primals: tuple[Any, Array], tangents: tuple[Any, Array]) -> tuple[Array, Array]:
    largest, values = primals
    return bounded(largest, values), jnp.where(jnp.abs(values) <= largest, tangents[1], 0.0)


def step_alone(
    rule: Rule, tensor: Tensor, old: PieceState
) -> tuple[Float[Array, "batch rows columns"], PieceState]:
    """Return what to take from the tensor, and what is remembered of it.

    Features are never divided by their root mean squares: weights are. What is the same along
    a row or a column is weighed once for it.

    **Example**

    ```python
    step, state = step_alone(rule, tensor, state)
    ```
    """
    slabs = Slabs(tensor.means.shape)
    gradient, params = (
        bounded(LARGEST_GRADIENT, tensor.gradient),
        bounded(LARGEST_PARAM, tensor.params),
    )
    averages = next_averages(old.averages[0], gradient, tensor.means, rule.factored_rates)
    lines = lines_of(averages, tensor.means)
    scalars = rule.next_scalars(gradient, params, old.momenta, old.mean_square)
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
    return steps, PieceState(scalars.momenta, scalars.mean_square, (averages,))


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
    gradient, params = (
        view.see(jnp.asarray(leaf).astype(jnp.float32)) for leaf in (gradient, params)
    )
    if valid is None:
        return Tensor(view, Means(view.shape), gradient, params)
    valid = view.see(jnp.asarray(valid, bool))
    return Tensor(view, Means(view.shape, valid), jnp.where(valid, gradient, 0.0), params)


def _features(scalars: Scalars, factors: Sequence[Factor]) -> list[Array]:
    some = own_features(scalars, factors[0].product(), factors[-1].product())
    return [feature for several in some for feature in jnp.unstack(several)]


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
