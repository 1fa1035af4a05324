"""How much memory an optimizer takes beside the params, found without taking it."""

import math

import jax
import jax.numpy as jnp

from lopt.architectures.base import LearnedOptimizer


def state_bytes_per_param(
    optimizer: LearnedOptimizer, shape: tuple[int, ...] = (1024, 1024)
) -> float:
    """Return the bytes of optimizer state for every scalar of one float32 tensor of params.

    Adam's are 8. What the optimizer keeps once for a tensor or a problem is shared out among
    the tensor's scalars, so it hardly counts at the default shape; nor does padding, which
    tensors of about a million scalars can have for a thousandth of their state. No array is
    made.

    Raises `ValueError` for a shape without scalars.

    **Example**

    ```python
    state_bytes_per_param(HierarchicalRNN.release(key=jax.random.key(0)))  # 76.0
    ```
    """
    scalars = math.prod(shape)
    if scalars < 1:
        raise ValueError(f"shape is {shape}, but bytes per param need a shape with scalars.")
    params = jax.ShapeDtypeStruct(shape, jnp.float32)
    state = jax.eval_shape(optimizer.transformation().init, params)
    total = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    return float(total) / scalars
