"""A step of `AdafactorMLP` in some small tensors together.

They lie one after the other and go through matrix products: few operations for many tensors,
quickly compiled.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lopt.architectures.adafactor_features import next_averages, own_features
from lopt.architectures.adafactor_network import Extents, Layer, backward, forward
from lopt.architectures.adafactor_rule import Rates, Rule, Step
from lopt.architectures.adafactor_steps import (
    LARGEST_GRADIENT,
    LARGEST_PARAM,
    PieceState,
    Tensor,
    bounded,
    lines_of,
)
from lopt.architectures.blocks import Blocks
from lopt.architectures.tensor_views import Means, View

Valid: TypeAlias = tuple[Bool[Array, "batch rows columns"] | None, ...]
"""Of each tensor, False for padding, or `None` where there is none."""


def step_together(
    rule: Rule, tensors: Sequence[Tensor], old: PieceState
) -> tuple[list[Float[Array, "batch rows columns"]], PieceState]:
    """Return what to take from each tensor, and what is remembered of all of them.

    **Example**

    ```python
    (step,), state = step_together(rule, [tensor], state)
    ```
    """
    views = tuple(tensor.view for tensor in tensors)
    valid = tuple(tensor.means.valid for tensor in tensors)
    seen = _join(views, [jnp.stack([tensor.gradient, tensor.params]) for tensor in tensors])
    steps, state = _step(views, rule.step, rule.rates, _layers(rule), seen, old, valid)
    return _part(views, steps), state


# By hand, since the derivatives of the single operations keep some fifty arrays at every step of
# an unroll. Here only what goes in is kept, and what the MLP's units are.
@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _step(
    views: Sequence[View],
    step: Step,
    rates: Rates,
    layers: list[Layer],
    seen: Float[Array, "2 1 1 n"],
    old: PieceState,
    valid: Valid,
) -> tuple[Float[Array, " n"], PieceState]:
    return _forward(views, step, rates, layers, seen, old, valid)[0]


def _forward(
    views: Sequence[View],
    step: Step,
    rates: Rates,
    layers: list[Layer],
    seen: Float[Array, "2 1 1 n"],
    old: PieceState,
    valid: Valid,
) -> tuple[tuple[Float[Array, " n"], PieceState], Any]:
    features, state = _look(views, valid, rates, seen, old)
    packed = _packed(views)
    steps, kept = forward(packed, step, layers, features, _extents(packed, valid))
    weights = [layer.weights for layer in layers]
    return (steps, state), (rates, weights, seen, old, valid, kept)


def _backward(
    views: Sequence[View], step: Step, residuals: Any, change: tuple[Array, PieceState]
) -> tuple[Rates, list[Layer], Array, PieceState, None]:
    rates, weights, seen, old, valid, kept = residuals
    (features, _), back = jax.vjp(partial(_look, views, valid), rates, seen, old)
    packed = _packed(views)
    layers, of_features = backward(
        packed, step, weights, features, _extents(packed, valid), kept, change[0]
    )
    of_rates, of_seen, of_old = back((of_features, change[1]))
    return of_rates, layers, of_seen, of_old, None


_step.defvjp(_forward, _backward)


def _look(
    views: Sequence[View],
    valid: Valid,
    rates: Rates,
    seen: Float[Array, "2 1 1 n"],
    old: PieceState,
) -> tuple[Float[Array, "features n"], PieceState]:
    """Return what the MLP is shown of the scalars, and what is remembered of the tensors."""
    largest = jnp.asarray([LARGEST_GRADIENT, LARGEST_PARAM], jnp.float32)[:, None, None, None]
    gradient, params = bounded(largest, seen)
    means = [Means(view.shape, real) for view, real in zip(views, valid, strict=True)]
    averages = tuple(
        next_averages(before, of_tensor, mean, rates.factored)
        for before, of_tensor, mean in zip(old.averages, _part(views, gradient), means, strict=True)
    )
    lines = [lines_of(*pair) for pair in zip(averages, means, strict=True)]
    scalars = rates.next_scalars(gradient, params, old.momenta, old.mean_square)
    products = [[factor.product() for factor in line.factors] for line in lines]
    for_gradient, for_momenta = (
        _join(views, [of_tensor[which] for of_tensor in products]) for which in (0, -1)
    )
    own = own_features(scalars, for_gradient, for_momenta)
    shared = [_join(views, [line.features[axis] for line in lines]) for axis in (0, 1)]
    features = jnp.concatenate([*own, *shared])[:, 0, 0]
    return features, PieceState(scalars.momenta, scalars.mean_square, averages)


def _join(
    views: Sequence[View], parts: Sequence[Float[Array, "many _ _ _"]]
) -> Float[Array, "many 1 1 n"]:
    """Lay what tensors have one after the other, spread over their scalars."""
    shapes = [(len(part), *view.shape) for part, view in zip(parts, views, strict=True)]
    spread = map(jnp.broadcast_to, parts, shapes)
    return jnp.concatenate([part.reshape(len(part), 1, 1, -1) for part in spread], axis=3)


def _part(
    views: Sequence[View], joined: Float[Array, "*ones n"]
) -> list[Float[Array, "batch rows columns"]]:
    """Undo `_join`, of one thing."""
    parts = _packed(views).unpack(joined.reshape(1, -1))
    return [part.reshape(view.shape) for part, view in zip(parts, views, strict=True)]


def _layers(rule: Rule) -> list[Layer]:
    """Return the layers without the features of time, which are part of the first bias."""
    first = Layer(rule.mlp.first.matrix[: -rule.time.size].T, rule.bias())
    return [first, *(Layer(layer.matrix.T, layer.bias) for layer in rule.mlp.others)]


def _packed(views: Sequence[View]) -> Blocks:
    return Blocks(tuple(view.size for view in views))


def _extents(packed: Blocks, valid: Valid) -> Extents:
    extent = packed.extent([part.reshape(-1) for part in valid if part is not None] or None)
    return Extents(None if extent.valid is None else extent.valid[0], extent.counts)
