"""Rows for one inner step: how many of them may be a number, and no shape."""

from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from lopt.problems.arguments import whole
from lopt.problems.padding import Size

Columns = TypeVar("Columns", bound=tuple[Array, ...])


def minibatch(data: Columns, batch_size: int, key: Key[Array, ""]) -> Columns:
    """Draw `batch_size` rows of all arrays with replacement; all rows if there are no more.

    The paper's code goes through reshuffled epochs instead, which needs a memory that a
    problem does not have; the gradients have the same mean.

    **Example**

    ```python
    inputs, labels = minibatch((all_inputs, all_labels), 100, jax.random.key(0))
    ```
    """
    samples = data[0].shape[0]
    if batch_size >= samples:
        return data
    rows = jax.random.randint(key, (batch_size,), 0, samples, jnp.int32)
    drawn: Columns = jax.tree.map(lambda column: column[rows], data)
    return drawn


class Minibatches(eqx.Module):
    """Rows drawn with replacement, `batch_size` of them at a time; all rows if there are no more.

    With `batch_padded_to` a minibatch has that many rows, in which the drawn ones are repeated
    as a whole: means over them, and gradients of such, are those of `batch_size` rows. What
    is random for each row would be drawn for every repetition, so `LabelNoise` refuses them,
    and `BatchSize` would choose among repetitions. 0 means that nothing is repeated, and that
    another `batch_size` is another program.

    Raises `ValueError` if `batch_size` is below 1, does not divide `batch_padded_to`, or is,
    where there is that, larger than `samples`, which could not be repeated equally often.

    **Example**

    ```python
    minibatches = Minibatches(16, batch_padded_to=64, samples=1000)
    rows = minibatches.rows(jax.random.key(0), samples=1000)
    assert rows.shape == (64,) and jnp.array_equal(rows[:16], rows[16:32])
    ```
    """

    size: Size

    def __init__(self, batch_size: int, batch_padded_to: int = 0, *, samples: int) -> None:
        whole("samples", samples, at_least=1)
        self.size = Size("batch_size", batch_size, batch_padded_to, room_argument="batch_padded_to")
        if self.size.room % batch_size:
            raise ValueError(
                f"batch_size must divide batch_padded_to, which is {batch_padded_to}, or rows "
                f"would not be repeated equally often, but is {batch_size}."
            )
        if batch_padded_to and batch_size > samples:
            raise ValueError(
                f"batch_size must be at most samples, which is {samples}, where minibatches are "
                f"padded, but is {batch_size}: take all samples with batch_size={samples}, or "
                f"batch_padded_to=0."
            )

    def rows(self, key: Key[Array, ""], samples: int) -> Int[Array, " rows"]:
        """Draw which of `samples` rows make up a minibatch, int32; all if there are no more."""
        room = self.size.room
        if not self.size.is_padded() and room >= samples:
            return jnp.arange(samples, dtype=jnp.int32)
        drawn = jax.random.randint(key, (room,), 0, samples, jnp.int32)
        if not self.size.is_padded():
            return drawn
        in_order = jnp.arange(room, dtype=jnp.int32)
        wanted = jnp.where(self.size.count() == samples, in_order, drawn)
        return wanted[in_order % self.size.count()]
