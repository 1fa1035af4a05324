"""How large a network's weights are when its training begins, as a leaf: all share one program."""

import itertools
import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from lopt.problems.arguments import one_of

SCHEMES = ("he", "glorot", "small", "unit")
BIAS_DEVIATIONS = (0.1, 0.1, 0.01, 1.0)

Real = Float[Array, ""]


class Initialization(eqx.Module):
    """Which standard deviation Gaussian weights and biases begin with.

    * "he": sqrt(2 / fan_in), He et al. 2015, https://arxiv.org/abs/1502.01852.
    * "glorot": sqrt(2 / (fan_in + fan_out)), Glorot and Bengio 2010,
      https://proceedings.mlr.press/v9/glorot10a.html.
    * "small": 0.01, of the ConvNet in Wichrowska et al. 2017's code (PAPER.md section 5.2).
    * "unit": 1, that of the code's other problems, far too large for most networks.

    Biases get 0.1 with the first two, as in the code's test problems, and else what the
    weights get.

    Raises `ValueError` for a name that is none of these.

    **Example**

    ```python
    weights = Initialization("he").of_weights(64, 32) * jax.random.normal(key, (64, 32))
    ```
    """

    index: Int[Array, ""]

    def __init__(self, name: str) -> None:
        known = one_of("initialization", name, SCHEMES)
        self.index = jnp.asarray(SCHEMES.index(known), jnp.int32)

    def of_weights(self, fan_in: Int[Array, ""] | int, fan_out: Int[Array, ""] | int) -> Real:
        """Return the deviation of weights that lead from `fan_in` units to `fan_out`."""
        into, out = (jnp.asarray(fan, jnp.int32).astype(jnp.float32) for fan in (fan_in, fan_out))
        he, glorot = jnp.sqrt(2 / into), jnp.sqrt(2 / (into + out))
        return jnp.stack([he, glorot, jnp.float32(0.01), jnp.float32(1.0)])[self.index]

    def of_biases(self) -> Real:
        """Return the deviation of biases."""
        return jnp.asarray(BIAS_DEVIATIONS, jnp.float32)[self.index]


def standard_normals(
    key: Key[Array, ""], shapes: Sequence[tuple[int, ...]]
) -> list[Float[Array, "..."]]:
    """Draw arrays of all shapes at once: every draw from a key is code in the compiled program.

    **Example**

    ```python
    weights, bias = standard_normals(jax.random.key(0), [(64, 32), (32,)])
    ```
    """
    ends = list(itertools.accumulate(math.prod(shape) for shape in shapes))
    pieces = jnp.split(jax.random.normal(key, (ends[-1],), jnp.float32), ends[:-1])
    return [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)]
