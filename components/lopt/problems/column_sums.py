"""Data of which a loss needs no more than the sums of the columns of a batch."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from lopt.problems.padding import Size


class ColumnSums(NamedTuple):
    """A batch in short: how many rows it has, and the sum of each of their columns.

    **Example**

    ```python
    batch = ColumnSums(rows=jnp.float32(3), sums=jnp.zeros(20, jnp.float32))
    ```
    """

    rows: Float[Array, ""]
    sums: Float[Array, " columns"]


class Sampling(eqx.Module):
    """How many samples there are, and how many of them a minibatch has; both may have room.

    Rooms are upper limits that problems of several sizes share, with a program; 0 means that
    sizes are what they are and part of the program. Raises `ValueError` for sizes below 1 and
    for a room that is smaller than what it is for.

    **Example**

    ```python
    sampling = Sampling(samples=1000, batch_size=100, batch_room=128)
    ```
    """

    samples: Size
    batch: Size

    def __init__(
        self, *, samples: int, batch_size: int, samples_room: int = 0, batch_room: int = 0
    ) -> None:
        self.samples = Size("samples", samples, samples_room, room_argument="samples_room")
        self.batch = Size("batch_size", batch_size, batch_room, room_argument="batch_room")

    def minibatch(
        self,
        key: Key[Array, ""],
        rows_at: Callable[[Int[Array, " rows"]], Float[Array, "rows columns"]],
        everything: ColumnSums,
    ) -> ColumnSums:
        """Draw samples with replacement and sum them; everything if there are no more of them.

        `rows_at` looks up samples by their numbers, which begin at 0. The paper's code goes
        through reshuffled epochs instead; see `lopt.problems.minibatches.minibatch`.
        """
        samples = self.samples.count()
        rows = rows_at(jax.random.randint(key, (self.batch.room,), 0, samples, jnp.int32))
        sums = jnp.sum(self.batch.only_real(rows, 0), axis=0)
        drawn = ColumnSums(self.batch.count().astype(jnp.float32), sums)
        is_everything = self.batch.count() >= samples
        return ColumnSums(
            jnp.where(is_everything, everything.rows, drawn.rows),
            jnp.where(is_everything, everything.sums, drawn.sums),
        )
