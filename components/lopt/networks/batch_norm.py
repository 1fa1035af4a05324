"""Batch normalization, and threading what it remembers through layers."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

DECAY = 0.99
"""Of what is remembered, as in Keras. TensorFlow's slim has 0.997 and 0.9997, with which whatever
is measured in the first thousands of steps would mostly show the beginning."""

OneMemory = TypeVar("OneMemory")
Features: TypeAlias = Float[Array, "batch _ _ _"]
Layer: TypeAlias = Callable[[Features, OneMemory, bool], tuple[Features, OneMemory]]


class Moments(NamedTuple):
    """What batch normalization remembers of each filter."""

    mean: Float[Array, " filters"]
    variance: Float[Array, " filters"]


class BatchNorm(eqx.Module):
    """Normalization of each filter over a batch; Ioffe and Szegedy 2015.

    In training by mean and variance of the batch, which then make up a hundredth of what is
    remembered, and in inference by what is remembered. Both are of all pixels of all images,
    the variance without Bessel's correction. https://arxiv.org/abs/1502.03167

    **Example**

    ```python
    norm = BatchNorm(64, epsilon=1e-3)
    features, memory = norm(features, norm.init_memory(), training=True)
    ```
    """

    scale: Float[Array, " filters"] | None
    offset: Float[Array, " filters"]
    epsilon: float = eqx.field(static=True)

    def __init__(self, filters: int, *, epsilon: float, use_scale: bool = True) -> None:
        self.scale = jnp.ones(filters, jnp.float32) if use_scale else None
        self.offset = jnp.zeros(filters, jnp.float32)
        self.epsilon = epsilon

    def init_memory(self) -> Moments:
        """Return a mean of 0 and a variance of 1; looks at nothing but shapes."""
        shape = self.offset.shape
        return Moments(jnp.zeros(shape, jnp.float32), jnp.ones(shape, jnp.float32))

    def __call__(
        self, features: Float[Array, "batch rows columns filters"], memory: Moments, training: bool
    ) -> tuple[Float[Array, "batch rows columns filters"], Moments]:
        if training:
            used = Moments(features.mean(axis=(0, 1, 2)), features.var(axis=(0, 1, 2)))
            memory = jax.tree.map(lambda old, new: DECAY * old + (1 - DECAY) * new, memory, used)
        else:
            used = memory
        slope = jax.lax.rsqrt(used.variance + self.epsilon)
        slope = slope if self.scale is None else slope * self.scale
        centred = features - used.mean[None, None, None, :]
        return centred * slope[None, None, None, :] + self.offset[None, None, None, :], memory


def in_a_row(
    layers: Sequence[Layer[OneMemory]],
    features: Features,
    memory: tuple[OneMemory, ...],
    training: bool,
) -> tuple[Features, tuple[OneMemory, ...]]:
    """Return what comes of the features from one layer after the other, and the new memory.

    **Example**

    ```python
    features, memory = in_a_row(self.blocks, features, memory, training=True)
    ```
    """
    remembered = []
    for layer, of_layer in zip(layers, memory, strict=True):
        features, new = layer(features, of_layer, training)
        remembered.append(new)
    return features, tuple(remembered)


def side_by_side(
    layers: Sequence[Layer[OneMemory]],
    features: Features,
    memory: tuple[OneMemory, ...],
    training: bool,
) -> tuple[Features, tuple[OneMemory, ...]]:
    """Return what each layer makes of the features, as filters in a row, and the new memory.

    **Example**

    ```python
    features, memory = side_by_side(self.branches, features, memory, training=True)
    ```
    """
    outputs, remembered = [], []
    for layer, of_layer in zip(layers, memory, strict=True):
        output, new = layer(features, of_layer, training)
        outputs.append(output)
        remembered.append(new)
    return jnp.concatenate(outputs, axis=-1), tuple(remembered)
