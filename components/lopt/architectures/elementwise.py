"""From any params' gradient to numbers to compute with, and from steps to updates like it."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from lopt.architectures.blocks import blocks_of
from lopt.architectures.features import clean


def check_params(params: optax.Params) -> None:
    """Raise `TypeError`, naming the leaf, for params that are not of a floating-point type.

    **Example**

    ```python
    check_params({"weights": jnp.ones((4, 5)), "nothing": None})
    ```
    """
    blocks_of(params)


def clean_gradient(updates: optax.Updates) -> PyTree[Array]:
    """Return the gradient in float32, with entries that are NaN or infinite set to zero.

    **Example**

    ```python
    clean_gradient({"number": 1.0, "array": jnp.full((2,), jnp.nan)})
    ```
    """
    # Outside of a compiled program a leaf may be a Python number.
    return jax.tree.map(lambda leaf: clean(jnp.asarray(leaf)), updates)


def updates_like(updates: optax.Updates, steps: PyTree[Array]) -> Any:
    """Return minus the steps, each in the shape and dtype of its leaf of the gradient.

    **Example**

    ```python
    steps = jax.tree.map(lambda leaf: 0.1 * leaf, clean_gradient(gradient))
    updates = updates_like(gradient, steps)  # those of optax.sgd(0.1)
    ```
    """
    return jax.tree.map(lambda leaf, step: update_like(jnp.asarray(leaf), step), updates, steps)


def update_like(leaf: Float[Array, " *shape"], step: Float[Array, "..."]) -> Array:
    """Return minus the float32 step in the leaf's shape and dtype, within the dtype's range.

    **Example**

    ```python
    update_like(jnp.ones((2, 2), jnp.float16), jnp.full((4,), 1e9))  # -65504 four times
    ```
    """
    largest = float(jnp.finfo(leaf.dtype).max)
    return jnp.clip(-step, -largest, largest).reshape(leaf.shape).astype(leaf.dtype)
