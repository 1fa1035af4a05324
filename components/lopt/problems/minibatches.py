"""Minibatches whose size is a number and no shape, so that several sizes share one program."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from lopt.problems.padding import Size


class Minibatches(eqx.Module):
    """Rows drawn with replacement, `batch_size` of them at a time.

    With `batch_padded_to` a minibatch has that many rows, in which the drawn ones are repeated
    as a whole: means over them, and gradients of such, are those of `batch_size` rows. What
    is random for each row, as in `LabelNoise`, is drawn for every repetition, and `BatchSize`
    would choose among repetitions. 0 means that nothing is repeated, and that another
    `batch_size` is another program.

    Raises `ValueError` if `batch_size` is below 1 or does not divide `batch_padded_to`.

    **Example**

    ```python
    rows = Minibatches(16, batch_padded_to=64).rows(jax.random.key(0), samples=1000)
    assert rows.shape == (64,) and jnp.array_equal(rows[:16], rows[16:32])
    ```
    """

    size: Size

    def __init__(self, batch_size: int, batch_padded_to: int = 0) -> None:
        self.size = Size("batch_size", batch_size, batch_padded_to, room_argument="batch_padded_to")
        if self.size.room % batch_size:
            raise ValueError(
                f"batch_size must divide batch_padded_to, which is {batch_padded_to}, or rows "
                f"would not be repeated equally often, but is {batch_size}."
            )

    def rows(self, key: Key[Array, ""], samples: int) -> Int[Array, " rows"]:
        """Draw which of `samples` rows make up a minibatch."""
        drawn = jax.random.randint(key, (self.size.room,), 0, samples, jnp.int32)
        if not self.size.is_padded():
            return drawn
        return drawn[jnp.arange(self.size.room, dtype=jnp.int32) % self.size.count()]
