"""Sums over problems whose rounding does not depend on how many devices there are.

Devices that each add up what they have, and then their sums, round in an order of their own, and
evolution strategies divide what that does by their deviation. Here every sum has one order.
"""

import math

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
    problems = values.shape[-1]
    blocks = math.gcd(problems, BLOCKS)
    sums = _on_every_device(values.reshape(*values.shape[:-1], blocks, -1).sum(-1))
    # One after the other: of two sums, one of the other, XLA would make one again.
    total = sums[..., 0]
    for block in range(1, blocks):
        total = total + sums[..., block]
    return total


def _on_every_device(sums: Float[Array, "*rest blocks"]) -> Float[Array, "*rest blocks"]:
    if jax.sharding.get_abstract_mesh().empty:
        return sums
    return jnp.asarray(jax.lax.with_sharding_constraint(sums, PartitionSpec()))
