"""A small convolutional network with batch normalization."""

import itertools
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from lopt.networks.batch_norm import BatchNorm, Moments
from lopt.networks.initial import with_he_kernels
from lopt.problems.convolutions import convolved

EPSILON = 1e-3

Memory: TypeAlias = tuple[Moments, ...]


class NormConvNet(eqx.Module):
    """Convolutions of 3 x 3 pixels, batch normalization, ReLU, and a read-out of the means.

    Convolutions have no biases and halve height and width. They are products of patches, so
    that many such networks are trained side by side.

    **Example**

    ```python
    network = NormConvNet((8, 8, 1), filters=(8, 16), classes=10, key=jax.random.key(0))
    logits, memory = network(images, network.init_memory(), training=True)
    ```
    """

    kernels: tuple[Float[Array, "3 3 _ _"], ...]
    norms: tuple[BatchNorm, ...]
    weights: Float[Array, "filters classes"]
    bias: Float[Array, " classes"]

    def __init__(
        self,
        shape: tuple[int, int, int],
        filters: tuple[int, ...],
        classes: int,
        *,
        key: Key[Array, ""],
    ) -> None:
        widths = (shape[-1], *filters)
        kernels = tuple(
            jnp.zeros((3, 3, into, out), jnp.float32) for into, out in itertools.pairwise(widths)
        )
        weights = jnp.zeros((widths[-1], classes), jnp.float32)
        self.kernels, self.weights = with_he_kernels((kernels, weights), key)
        self.norms = tuple(BatchNorm(out, epsilon=EPSILON) for out in filters)
        self.bias = jnp.zeros(classes, jnp.float32)

    def init_memory(self) -> Memory:
        """Return what is remembered before any training; looks at nothing but shapes."""
        return tuple(norm.init_memory() for norm in self.norms)

    def __call__(
        self, images: Float[Array, "batch height width channels"], memory: Memory, training: bool
    ) -> tuple[Float[Array, "batch classes"], Memory]:
        remembered = []
        for kernel, norm, of_norm in zip(self.kernels, self.norms, memory, strict=True):
            normed, new = norm(convolved(images, kernel, stride=2), of_norm, training)
            images = jax.nn.relu(normed)
            remembered.append(new)
        logits = images.mean(axis=(1, 2)) @ self.weights + self.bias[None, :]
        return logits, tuple(remembered)
