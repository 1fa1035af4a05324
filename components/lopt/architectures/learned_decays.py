"""Decays of exponential averages as meta-params."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lopt.architectures.features import clip_straight_through


class LearnedDecays(eqx.Module):
    """Decays `1 - exp(10 x)` of which the `x` are meta-learned.

    A meta-step changes how long is averaged by a factor, however near 1 a decay is. The form
    is that of the published code of Metz et al. 2022, https://arxiv.org/abs/2203.11860, where
    the meta-params are what is added to the initial `x`, and a decay of momentum may be
    negative, which here it may not.

    **Example**

    ```python
    LearnedDecays([0.9, 0.99]).rates()  # 0.1, 0.01
    ```
    """

    x: Float[Array, " decays"]

    def __init__(self, initial: Sequence[float]):
        # In float64, since float32 knows a decay near 1 but not how near.
        self.x = jnp.asarray(np.log1p(-np.asarray(initial, np.float64)) / 10, jnp.float32)

    def rates(self) -> Float[Array, " decays"]:
        """Return one minus each decay, which is what the newest value weighs."""
        return jnp.exp(10 * clip_straight_through(self.x, -jnp.inf, 0.0))
