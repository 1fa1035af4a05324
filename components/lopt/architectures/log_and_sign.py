"""Two numbers that show a gradient of any size to a network: Andrychowicz et al. 2016."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

LOG_RANGE = 10.0
"""The paper's p: of a gradient smaller than exp(-p) the size is shown, not its logarithm."""


def log_and_sign(gradient: Float[Array, " n"]) -> Float[Array, "2 n"]:
    """Return `(log|g| / p, sign g)`, or `(-1, exp(p) g)` where `|g| < exp(-p)`, with p = 10.

    Continuous, and finite at 0 with all derivatives. Andrychowicz et al. 2016, appendix A,
    https://arxiv.org/abs/1606.04474.

    **Example**

    ```python
    log_and_sign(jnp.array([-1.0, 0.0]))  # [[0, -1], [-1, 0]]
    ```
    """
    smallest = math.exp(-LOG_RANGE)
    logarithm = jnp.log(jnp.maximum(jnp.abs(gradient), smallest)) / LOG_RANGE
    return jnp.stack([logarithm, jnp.clip(gradient / smallest, -1.0, 1.0)])
