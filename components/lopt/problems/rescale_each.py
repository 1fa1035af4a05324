"""Another unit for every single parameter: PAPER.md section 5.5, linear changes of variables."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key

from lopt.problems.arguments import scalar
from lopt.problems.base import Params, Problem
from lopt.problems.quadratics import Quadratic
from lopt.problems.transforms import ChangeOfCoordinates


class RescaleEach(ChangeOfCoordinates):
    """The inner problem with a scale of its own for each of its params.

    `Rescale` where every scalar has another scale, log-uniform between `low` and `high`: no
    learning rate suits all of them. The scales are leaves, and `draw` draws them anew.

    Raises `ValueError` unless `0 < low <= high`.

    **Example**

    ```python
    problem = RescaleEach(Quadratic(dimensions=20, key=key), low=0.1, high=10.0, key=key)
    ```
    """

    low: Float[Array, ""]
    high: Float[Array, ""]
    scales: Params

    def __init__(
        self, inner: Problem, *, low: float = 0.1, high: float = 10.0, key: Key[Array, ""]
    ) -> None:
        self.inner = inner
        self.low = scalar("low", low, above=0.0)
        self.high = scalar("high", high, at_least=float(np.float32(low)))
        self.scales = self._drawn_scales(key)

    def to_inner(self, params: Params) -> Params:
        return jax.tree.map(lambda leaf, s: leaf / s.astype(leaf.dtype), params, self.scales)

    def from_inner(self, params: Params) -> Params:
        return jax.tree.map(lambda leaf, s: leaf * s.astype(leaf.dtype), params, self.scales)

    def draw(self, key: Key[Array, ""]) -> Problem:
        inner_key, own_key = jax.random.split(key)
        drawn: Problem = eqx.tree_at(
            lambda outer: (outer.inner, outer.scales),
            self,
            (self.inner.draw(inner_key), self._drawn_scales(own_key)),
        )
        return drawn

    def _drawn_scales(self, key: Key[Array, ""]) -> Params:
        # One draw for all tensors: each would be code of its own in the compiled program.
        flat, with_shapes = ravel_pytree(self.inner.init(key))
        low, high = jnp.log(self.low), jnp.log(self.high)
        share = jax.random.uniform(key, flat.shape, jnp.float32)
        scales = jnp.exp(low + share * (high - low))
        drawn: Params = with_shapes(jnp.clip(scales, self.low, self.high))
        return drawn

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        key = jax.random.key(0)
        quadratic = Quadratic(dimensions=3, key=key)
        return [cls(quadratic, key=key), cls(quadratic, low=2.0, high=2.0, key=key)]
