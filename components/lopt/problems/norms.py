"""Norms of the residual of a linear system: PAPER.md section 5.2."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from lopt.problems.arguments import scalar
from lopt.problems.base import Batch, Params, Problem
from lopt.problems.padding import Size
from lopt.problems.quadratics import gaussian_system

OFFSET = 1e-6


class Norm(Problem):
    """The norm of some order of `matrix @ params - target`, all Gaussian.

    Convex, but its gradient does not fade near the minimum, where every step of fixed size
    goes too far. `(sum over rows of (|residual| + 1e-6)^order)^(1 / order)`, whose least value
    is `1e-6 * dimensions^(1 / order)`. The order is a leaf, so norms of all orders share one
    program. Params: float32 `[dimensions, 1]`, or `[padded_to, 1]` where several sizes are to
    share one program, too. `Norm` of Wichrowska et al. 2017's code.

    Raises `ValueError` for an order below 1: that is no norm, and powers below 0 of tiny
    residuals, which its derivatives have, make NaN of a trajectory early.

    **Example**

    ```python
    problem = Norm(dimensions=27, order=1.5, key=jax.random.key(0))
    ```
    """

    matrix: Float[Array, "room room"]
    target: Float[Array, "room 1"]
    order: Float[Array, ""]
    size: Size

    def __init__(
        self, *, dimensions: int, order: float, padded_to: int = 0, key: Key[Array, ""]
    ) -> None:
        self.order = scalar("order", order, at_least=1.0)
        self.size = Size("dimensions", dimensions, padded_to)
        self.matrix, self.target = gaussian_system(key, self.size)

    def init(self, key: Key[Array, ""]) -> Params:
        return self.size.only_real(jax.random.normal(key, self.target.shape, jnp.float32), 0)

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        del batch, key
        sizes = jnp.abs(self.matrix @ params - self.target)[:, 0] + OFFSET
        # A norm is homogeneous, so that dividing by a constant keeps powers from overflowing.
        largest = jax.lax.stop_gradient(jnp.max(sizes))
        is_real = self.size.is_real()
        # Padding has a power of 1, since that of 0 has no second derivative; then it is left out.
        powers = jnp.power(jnp.where(is_real, sizes / largest, 1.0), self.order)
        return largest * jnp.power(jnp.sum(jnp.where(is_real, powers, 0.0)), 1 / self.order)

    def draw(self, key: Key[Array, ""]) -> "Norm":
        system = gaussian_system(key, self.size)
        redrawn: Norm = eqx.tree_at(lambda one: (one.matrix, one.target), self, system)
        return redrawn

    def valid(self) -> Params | None:
        return self.size.valid(self.target.shape, 0)

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        key = jax.random.key(0)
        return [cls(dimensions=3, order=order, padded_to=5, key=key) for order in (1.0, 2.5)]
