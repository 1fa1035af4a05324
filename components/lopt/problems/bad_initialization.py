"""Problems that are those of others, but for where trajectories begin."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key

from lopt.problems.arguments import scalar
from lopt.problems.base import Params, Problem
from lopt.problems.quadratics import Quadratic
from lopt.problems.transforms import Transform


class BadInitialization(Transform):
    """The inner problem begun at `factor` times its start plus `shift` times a standard normal.

    Teaches the optimizer to come back from too far away, or away from too near a point
    where gradients fade. The loss is the inner one. Both numbers are leaves; 1 and 0 give the
    inner problem's own starts. Padding begins at 0 nevertheless.

    **Example**

    ```python
    problem = BadInitialization(Quadratic(dimensions=20, key=key), factor=10.0, shift=1.0)
    ```
    """

    factor: Float[Array, ""]
    shift: Float[Array, ""]

    def __init__(self, inner: Problem, *, factor: float = 1.0, shift: float = 0.0) -> None:
        self.inner = inner
        self.factor = scalar("factor", factor, at_least=0.0)
        self.shift = scalar("shift", shift, at_least=0.0)

    def init(self, key: Key[Array, ""]) -> Params:
        inner_key, own_key = jax.random.split(key)
        start, with_shapes = ravel_pytree(self.inner.init(inner_key))
        noise = jax.random.normal(own_key, start.shape, start.dtype)
        return self._without_padding(with_shapes(self.factor * start + self.shift * noise))

    def _without_padding(self, params: Params) -> Params:
        valid = self.valid()
        if valid is None:
            return params
        return jax.tree.map(lambda leaf, is_real: jnp.where(is_real, leaf, 0.0), params, valid)

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        quadratic = Quadratic(dimensions=3, key=jax.random.key(0))
        return [cls(quadratic, factor=10.0), cls(quadratic, shift=3.0)]
