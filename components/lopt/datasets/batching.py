"""Minibatches by reshuffled epochs, and images as what a network takes."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int32, Key, UInt8


def shuffled_batches(
    key: Key[Array, ""],
    size: int,
    batch_size: int,
    steps: int,
    first_step: int | Int[Array, ""] = 0,
) -> Int32[Array, "steps batch"]:
    """Return which of `size` examples make up the batches of `steps` consecutive inner steps.

    Each epoch takes the examples in a new order and drops its incomplete tail; a batch larger
    than the data set is the whole of it (PAPER.md section 5.1). A step's batch depends on key
    and position alone: going on from `first_step` gives what one long call would have given,
    and `first_step` may be traced. Only the epochs that the steps touch are shuffled.

    Raises `ValueError` if `size`, `batch_size` or `steps` is not positive.

    **Example**

    ```python
    batches = shuffled_batches(jax.random.key(0), size=1442, batch_size=64, steps=100)
    images = train.images[batches[0]]
    ```
    """
    for name, value in (("size", size), ("batch_size", batch_size), ("steps", steps)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, but is {value}.")
    batch_size = min(batch_size, size)
    per_epoch = size // batch_size
    # Steps may begin in the middle of an epoch, so they touch one epoch more than they fill.
    epochs = 1 + (steps + per_epoch - 2) // per_epoch
    first_step = jnp.asarray(first_step, jnp.int32)
    first_epoch, skipped = first_step // per_epoch, first_step % per_epoch

    def epoch_batches(epoch: Int32[Array, ""]) -> Int32[Array, "per_epoch batch"]:
        order = jax.random.permutation(jax.random.fold_in(key, epoch), size)
        return order[: per_epoch * batch_size].reshape(per_epoch, batch_size)

    batches = jax.vmap(epoch_batches)(first_epoch + jnp.arange(epochs, dtype=jnp.int32))
    batches = batches.reshape(epochs * per_epoch, batch_size)
    return jax.lax.dynamic_slice_in_dim(batches, skipped, steps).astype(jnp.int32)


def images_to_float(images: UInt8[Array | np.ndarray, "*axes"]) -> Float[Array, "*axes"]:
    """Bring levels from 0 to 255 to float32 from 0 to 1; the shape stays.

    **Example**

    ```python
    pixels = images_to_float(train.images[batch])
    ```
    """
    return jnp.asarray(images).astype(jnp.float32) / 255
