"""The MLP of `AdafactorMLP` for many scalars at once, with its derivative by hand.

The derivatives of the single operations would read and write all features many times at every
step of an unroll, and meta-training does little else. Here features, their scales and the units
are kept, and one product a tensor gives the gradients of weights and of scales alike.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lopt.architectures.adafactor_features import scales
from lopt.architectures.blocks import Blocks

Step = Callable[[Array, Array], Array]


class Extents(NamedTuple):
    """Which scalars of one block take part in means, and how many of each tensor do."""

    valid: Bool[Array, " n"] | None
    counts: Float[Array, " tensors"]


class Layer(NamedTuple):
    """A linear layer."""

    weights: Float[Array, "outputs inputs"]
    bias: Float[Array, " outputs"]


class Kept(NamedTuple):
    """What the derivative is made of, beside layers and features."""

    by_tensor: Float[Array, "features tensors"]
    units: Float[Array, "units n"]


def forward(
    packed: Blocks,
    step: Step,
    layers: Sequence[Layer],
    features: Float[Array, "features n"],
    extents: Extents,
) -> tuple[Float[Array, " n"], Kept]:
    """Return the step of every scalar: what it is by the two numbers that the layers write.

    Features are divided by their root mean squares over each tensor. Relus are between layers.

    **Example**

    ```python
    extents = Extents(None, jnp.array([3.0]))
    layer = Layer(jnp.ones((2, 5)), jnp.zeros(2))
    steps, kept = forward(Blocks((3,)), jnp.multiply, [layer], jnp.ones((5, 3)), extents)
    ```
    """
    sums = packed.sum_rows(jnp.square(features), extents.valid)
    by_tensor = scales(packed.mean(sums[None], extents.counts))
    inputs = features * packed.spread(by_tensor)[0]
    units = []
    for layer in layers:
        units.append(layer.weights @ inputs + layer.bias[:, None])
        inputs = jax.nn.relu(units[-1])
    return step(*units[-1]), Kept(by_tensor, jnp.concatenate(units))


def backward(
    packed: Blocks,
    step: Step,
    weights: Sequence[Float[Array, "outputs inputs"]],
    features: Float[Array, "features n"],
    extents: Extents,
    kept: Kept,
    change: Float[Array, " n"],
) -> tuple[list[Layer], Float[Array, "features n"]]:
    """Return the gradients of the layers and of the features, of what the steps' gradient is.

    **Example**

    ```python
    gradients, of_inputs = backward(Blocks((3,)), step, [w], features, extents, kept, change)
    ```
    """
    ends = itertools.accumulate(map(len, weights))
    *hidden, outputs = jnp.split(kept.units, list(ends)[:-1])
    change = jnp.stack(jax.vjp(step, *outputs)[1](change))
    gradients = []
    for matrix, unit in zip(weights[:0:-1], hidden[::-1], strict=True):
        gradients.append(Layer(_products(jax.nn.relu(unit), change).T, change.sum(1)))
        change = jnp.where(unit > 0, _times(matrix, change), 0.0)
    products = jnp.stack(
        [
            _products(features[:, start:end], change[:, start:end])
            for start, end in itertools.pairwise([0, *itertools.accumulate(packed.sizes)])
        ],
        axis=2,
    )
    first, by_tensor = weights[0], kept.by_tensor
    gradients.append(Layer((products * by_tensor[:, None]).sum(2).T, change.sum(1)))
    of_scales = (products * first.T[:, :, None]).sum(1)
    slopes = -(by_tensor**3) * of_scales / jnp.maximum(extents.counts, 1.0)[None]
    scale, slope = jnp.split(packed.spread(jnp.concatenate([by_tensor, slopes]))[0], 2)
    from_scales = slope * features
    if extents.valid is not None:
        from_scales = jnp.where(extents.valid[None], from_scales, 0.0)
    return gradients[::-1], scale * _times(first, change) + from_scales


def _products(inputs: Float[Array, "inputs n"], change: Float[Array, "outputs n"]) -> Array:
    """Add the inputs times the change up; in the other order a CPU takes up to thrice as long."""
    return jnp.einsum("in,on->io", inputs, change)


def _times(weights: Float[Array, "outputs inputs"], change: Float[Array, "outputs n"]) -> Array:
    """Send the change back, by arithmetic that compilers fuse with what is made of it."""
    return sum(
        (row[:, None] * one[None] for row, one in zip(weights, change, strict=True)),
        start=jnp.zeros((), jnp.float32),
    )
