"""What the parts of `AdafactorMLP` hand to each other."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from lopt.architectures.adafactor_features import Scalars, line_features
from lopt.architectures.factored_averages import (
    Factor,
    FactoredAverages,
    factors,
    shorter_axis_first,
)
from lopt.architectures.features import clean
from lopt.architectures.scalar_mlp import ScalarMLP
from lopt.architectures.tensor_views import Means, View

LARGEST_GRADIENT = 1e8
"""Of larger ones the fourth power, the square of a feature, overflows float32."""
_LARGEST_EXPONENT = 80.0


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
        # An infinite exponential times a direction of 0 would be NaN.
        exponent = jnp.minimum(self.magnitude_scale * magnitude, _LARGEST_EXPONENT)
        return self.step_scale * direction * jnp.exp(exponent)

    def next_scalars(
        self, gradient: Array, params: Array, momenta: Sequence[Array], mean_square: Array
    ) -> Scalars:
        """Move the averages that every scalar has on by one step."""
        rates = jnp.unstack(self.momentum_rates)
        pairs = zip(momenta, rates, strict=True)
        moved = tuple(momentum + rate * (gradient - momentum) for momentum, rate in pairs)
        change = self.mean_square_rate * (jnp.square(gradient) - mean_square)
        return Scalars(gradient, params, moved, mean_square + change)


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
