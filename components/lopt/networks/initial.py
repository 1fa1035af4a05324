"""What networks begin with, as somebody published it."""

import math
from typing import TypeVar

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from lopt.problems.initial_weights import Initialization, standard_normals

EQUINOX = "uniform"

Network = TypeVar("Network")


def linear(
    inputs: int,
    outputs: int,
    initialization: str = EQUINOX,
    *,
    use_bias: bool = True,
    key: Key[Array, ""],
) -> eqx.nn.Linear:
    """Return an affine map, float32, that begins as `initialization` has it.

    "uniform" is Equinox's own, between -1 and 1 over the root of the number of inputs, biases
    too; the others are those of `lopt.problems.initial_weights.Initialization`.

    Raises `ValueError` for a name that is none of these.

    **Example**

    ```python
    layer = linear(64, 10, "he", key=jax.random.key(0))
    ```
    """
    layer = eqx.nn.Linear(inputs, outputs, use_bias, key=key)
    if initialization == EQUINOX:
        return layer
    scheme = Initialization(initialization)
    leaves, structure = jax.tree.flatten(layer)
    deviations = (scheme.of_weights(inputs, outputs), scheme.of_biases())
    normals = standard_normals(key, [leaf.shape for leaf in leaves])
    drawn = [deviation * normal for deviation, normal in zip(deviations, normals, strict=False)]
    begun: eqx.nn.Linear = jax.tree.unflatten(structure, drawn)
    return begun


def with_he_kernels(network: Network, key: Key[Array, ""]) -> Network:
    """Return the network with its kernels drawn: Gaussian, standard deviation sqrt(2 / fan_in).

    Of He et al. 2015, https://arxiv.org/abs/1502.01852. Kernels are the leaves of two axes or
    more, of which the last is the filters; all come of one draw.

    **Example**

    ```python
    network = with_he_kernels(network, jax.random.key(0))
    ```
    """
    leaves, structure = jax.tree.flatten(network)
    normals = iter(standard_normals(key, [leaf.shape for leaf in leaves if leaf.ndim > 1]))
    begun: Network = jax.tree.unflatten(
        structure, [_he(next(normals)) if leaf.ndim > 1 else leaf for leaf in leaves]
    )
    return begun


def _he(normal: Float[Array, "... filters"]) -> Float[Array, "... filters"]:
    return math.sqrt(2 / math.prod(normal.shape[:-1])) * normal
