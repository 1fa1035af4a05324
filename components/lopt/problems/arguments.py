"""Checks of what problems are made with: before any work, naming argument, value and range."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def whole(name: str, value: int, at_least: int) -> int:
    """Return `value` if it is large enough for a size; raises `ValueError` otherwise.

    **Example**

    ```python
    whole("dimensions", 20, at_least=1)
    ```
    """
    if value < at_least:
        raise ValueError(f"{name} must be a whole number of at least {at_least}, but is {value!r}.")
    return value


def scalar(
    name: str,
    value: float,
    *,
    above: float = -math.inf,
    at_least: float = -math.inf,
    below: float = math.inf,
) -> Float[Array, ""]:
    """Return `value` as a float32 leaf if it is finite and in range.

    The range holds for what is stored, after rounding to float32. Raises `ValueError`.

    **Example**

    ```python
    probability = scalar("probability", 0.99, at_least=0.0, below=1.0)
    ```
    """
    with np.errstate(over="ignore"):
        stored = float(np.float32(value))
    if math.isfinite(stored) and stored > above and at_least <= stored < below:
        return jnp.asarray(stored, jnp.float32)
    bounds = {"above": above, "at least": at_least, "below": below}
    wanted = [f"{words} {bound:g}" for words, bound in bounds.items() if math.isfinite(bound)]
    allowed = " ".join(["a finite float32 number", " and ".join(wanted)]).strip()
    raise ValueError(f"{name} must be {allowed}, but is {value!r}.")


def one_of(name: str, value: str, known: Sequence[str]) -> str:
    """Return `value` if it is among the known names; raises `ValueError` listing them.

    **Example**

    ```python
    one_of("activation", "tanh", ["relu", "tanh"])
    ```
    """
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, but is {value!r}.")
    return value
