"""Derivatives of unrolls by few meta-params, carried along instead of backwards.

Backpropagation costs a small multiple of the unroll, however many meta-params there are. Where
there is one, or four, as in `LearnedAdam`, and a step is so short that a loop's own work is most
of it, their derivatives side by side cost less: nothing is kept of a step and no way back
follows. The same numbers up to rounding.

https://docs.jax.dev/en/latest/notebooks/autodiff_cookbook.html
"""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, PyTree

from lopt.meta_gradients.vectors import MetaParams
from lopt.side_by_side import are_small

MOST = 4
"""So many meta-params are few. On problems that are not small four take longer (LOG.md)."""


def is_better_forward(meta_params: MetaParams, params: PyTree[Array]) -> bool:
    """Tell whether meta-params are few and the problems small, by the params of all of them.

    **Example**

    ```python
    is_better_forward(jnp.zeros(4), jnp.zeros((32, 10)))  # True
    ```
    """
    return meta_params.size <= MOST and are_small(params)


def gradient(function: Callable[..., Any], *, forward: bool) -> Callable[..., Any]:
    """Return the gradient by the first argument, a vector, and what `function` gives beside it.

    `forward` says in which mode; the function then has no `jax.custom_vjp` in it.

    **Example**

    ```python
    gradient(lambda v: (v @ v, "aside"), forward=True)(jnp.ones(2))  # [2. 2.], "aside"
    ```
    """
    derivative = jax.jacfwd if forward else jax.grad
    differentiated: Callable[..., Any] = derivative(function, has_aux=True)
    return differentiated
