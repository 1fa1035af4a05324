"""Sums over problems whose rounding does not depend on how many devices there are.

Devices that each add up what they have, and then their sums, round in an order of their own, and
evolution strategies divide what that does by their deviation. Here every sum has one order.
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

BLOCKS = 8
"""Problems are added up in so many blocks of neighbours, where that divides their number."""


def sum_of_problems(values: Float[Array, "*rest problems"]) -> Float[Array, "*rest"]:
    """Add up along the last axis: first in each of eight blocks, and then the eight sums.

    Each block lies on one device if there are 1, 2, 4 or 8, which then add up in one order;
    other numbers of devices, or of problems that eight does not divide, may take another. What
    is added can still differ in a last digit: programs for other shapes may round it otherwise.
    Devices get each other's sums of blocks inside `jax.sharding.use_abstract_mesh`.

    **Example**

    ```python
    sum_of_problems(jnp.ones((5, 32)))  # five times 32
    ```
    """
    blocks = _blocks(values.shape[-1])
    sums = _on_every_device(values.reshape(*values.shape[:-1], blocks, -1).sum(-1))
    return _in_turn([sums[..., block] for block in range(blocks)])


def sum_of_rows(values: Float[Array, "problems *rest"]) -> Float[Array, "*rest"]:
    """Add up along the first axis, where that is how the problems lie, in the same blocks.

    To turn 32 rows of 8,349 numbers for `sum_of_problems` takes longer than to add them up.

    **Example**

    ```python
    sum_of_rows(jnp.ones((32, 5)))  # five times 32
    ```
    """
    blocks = _blocks(values.shape[0])
    sums = _on_every_device(values.reshape(blocks, -1, *values.shape[1:]).sum(1))
    return _in_turn([sums[block] for block in range(blocks)])


def _blocks(problems: int) -> int:
    return math.gcd(problems, BLOCKS)


def _in_turn(terms: Sequence[Float[Array, "*rest"]]) -> Float[Array, "*rest"]:
    # One after the other: of two sums, one of the other, XLA would make one again.
    return functools.reduce(jnp.add, terms)


def _on_every_device(sums: Float[Array, "*sums"]) -> Float[Array, "*sums"]:
    if jax.sharding.get_abstract_mesh().empty:
        return sums
    return jnp.asarray(jax.lax.with_sharding_constraint(sums, PartitionSpec()))
