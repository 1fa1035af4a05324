"""A step of `AdafactorMLP` in some small tensors together.

They lie one after the other and go through matrix products: few operations for many tensors,
quickly compiled.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from lopt.architectures.adafactor_features import next_averages, own_features
from lopt.architectures.adafactor_normalisation import normalised
from lopt.architectures.adafactor_rule import Rule
from lopt.architectures.adafactor_steps import (
    LARGEST_GRADIENT,
    LARGEST_PARAM,
    PieceState,
    Tensor,
    bounded,
    lines_of,
)
from lopt.architectures.blocks import Blocks, Extent
from lopt.architectures.tensor_views import View


def step_together(
    rule: Rule, tensors: Sequence[Tensor], old: PieceState
) -> tuple[list[Float[Array, "batch rows columns"]], PieceState]:
    """Return what to take from each tensor, and what is remembered of all of them.

    **Example**

    ```python
    (step,), state = step_together(rule, [tensor], state)
    ```
    """
    features, state = _look(rule, tensors, old)
    packed = Blocks(tuple(tensor.view.size for tensor in tensors))
    weights = rule.mlp.first.matrix[: len(features)]
    inputs = normalised(packed, features, _extent(packed, tensors))
    hidden = weights.T @ inputs + rule.bias()[:, None]
    steps = rule.step(*rule.mlp.after_first(hidden))
    return _part([tensor.view for tensor in tensors], steps), state


def _look(
    rule: Rule, tensors: Sequence[Tensor], old: PieceState
) -> tuple[Float[Array, "features n"], PieceState]:
    """Return what is known of the scalars, and what is remembered of the tensors."""
    views = [tensor.view for tensor in tensors]
    seen = _join(views, [jnp.stack([tensor.gradient, tensor.params]) for tensor in tensors])
    largest = jnp.asarray([LARGEST_GRADIENT, LARGEST_PARAM], jnp.float32)[:, None, None, None]
    gradient, params = bounded(largest, seen)
    scalars = rule.next_scalars(gradient, params, old.momenta, old.mean_square)
    averages = tuple(
        next_averages(before, part, tensor.means, rule.factored_rates)
        for before, part, tensor in zip(old.averages, _part(views, gradient), tensors, strict=True)
    )
    lines = [
        lines_of(of_tensor, tensor.means)
        for of_tensor, tensor in zip(averages, tensors, strict=True)
    ]
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
    parts = Blocks(tuple(view.size for view in views)).unpack(joined.reshape(1, -1))
    return [part.reshape(view.shape) for part, view in zip(parts, views, strict=True)]


def _extent(packed: Blocks, tensors: Sequence[Tensor]) -> Extent:
    valid = [tensor.means.valid for tensor in tensors]
    return packed.extent([part.reshape(-1) for part in valid if part is not None] or None)
