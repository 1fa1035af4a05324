"""The meta-params of an optimizer as one vector.

Some thirty small arrays are thirty of every operation, in the compiler and at run time, where
one vector is one.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from lopt.architectures import LearnedOptimizer

MetaParams = Float[Array, " meta_params"]


class Vectors(NamedTuple):
    """The meta-params of an optimizer in the order of its leaves, and the way back."""

    meta_params: MetaParams
    optimizer_of: Callable[[MetaParams], LearnedOptimizer]


def vectors(optimizer: LearnedOptimizer) -> Vectors:
    """Lay the meta-params out as one float32 vector.

    **Example**

    ```python
    meta_params, optimizer_of = vectors(optimizer)
    same = optimizer_of(meta_params)
    ```
    """
    meta_params, static = eqx.partition(optimizer, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(meta_params)
    return Vectors(flat, lambda vector: eqx.combine(unravel(vector), static))


def number_of_meta_params(optimizer: LearnedOptimizer) -> int:
    """Return how long the vector is.

    **Example**

    ```python
    number_of_meta_params(HierarchicalRNN.release(key=jax.random.key(0)))  # 8349
    ```
    """
    leaves = jax.tree.leaves(eqx.filter(optimizer, eqx.is_inexact_array))
    return sum(leaf.size for leaf in leaves)
