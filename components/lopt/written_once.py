"""What many numbers are made of, and had better be computed once, as XLA is to be told.

XLA computes a cheap operation anew wherever its result is read, in the loop of whoever reads it:
a gradient that two products take three times, or, where a product is written out as a sum, once
for every number that it makes. It does not do so with a reduction.

https://openxla.org/xla/architecture
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import JaxprEqn
from jaxtyping import Array

_NAME = "computed once"


def computed_once(array: Array) -> Array:
    """Say that many numbers are made of each of these; a layout then has them `written_once`.

    Without one, as on accelerators, it says nothing. The array stays as it is.

    **Example**

    ```python
    cotangent = computed_once(slope * jnp.ones((20, 10)))
    ```
    """
    return jnp.asarray(checkpoint_name(array, _NAME))


@jax.custom_vjp
def cotangent_computed_once(array: Array) -> Array:
    """Return the array as it is; its cotangent is `computed_once`.

    **Example**

    ```python
    jax.grad(lambda x: cotangent_computed_once(x) ** 2)(3.0)  # 6.0
    ```
    """
    return array


def _with_nothing_kept(array: Array) -> tuple[Array, None]:
    return array, None


def _computed_once(kept: None, cotangent: Array) -> tuple[Array]:
    del kept
    return (computed_once(cotangent),)


cotangent_computed_once.defvjp(_with_nothing_kept, _computed_once)


def is_computed_once(eqn: JaxprEqn) -> bool:
    """Tell whether an equation is what `computed_once` says.

    **Example**

    ```python
    is_computed_once(jax.make_jaxpr(computed_once)(1.0).eqns[0])  # True
    ```
    """
    return bool(eqn.primitive.name == "name" and eqn.params["name"] == _NAME)


def written_once(array: Array) -> Array:
    """Return the array of floats as it is, the larger of each number and itself.

    To XLA that is a reduction, to LLVM behind it nothing: the loop that writes the array is the
    one that computes it, vectorised as ever.

    **Example**

    ```python
    written_once(jnp.arange(3.0))  # [0. 1. 2.]
    ```
    """
    twice = jnp.broadcast_to(array, (2, *array.shape))
    least = np.array(-np.inf, array.dtype)
    return jnp.asarray(jax.lax.reduce(twice, least, _larger, (0,)))


def _larger(one: Array, other: Array) -> Array:
    # Not `jax.lax.max`, whose reduction over copies XLA knows to be the array. NaN stays NaN.
    return jax.lax.select(jax.lax.lt(other, one), one, other)
