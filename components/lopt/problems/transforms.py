"""Problems made of one problem: PAPER.md section 5.2, with the defects of its section 9 mended.

What a transform does to gradients composes with what its inner problem does to them, the inner
one first, and drawing a transform anew draws its inner problem anew.
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from lopt.problems.arguments import scalar
from lopt.problems.base import Batch, Params, Problem
from lopt.problems.quadratics import Bowl, Quadratic

LOG_OFFSET = 1e-6


class Transform(Problem):
    """A problem around an inner one, whose data and random constants it takes over.

    A subclass writes `loss`, `init`, `perturb_gradient` and `examples`.

    **Example**

    ```python
    assert isinstance(problem, Transform)
    problem.inner.loss(params, batch, key)
    ```
    """

    inner: Problem

    def draw(self, key: Key[Array, ""]) -> Problem:
        drawn: Problem = eqx.tree_at(lambda outer: outer.inner, self, self.inner.draw(key))
        return drawn

    def sample_batch(self, key: Key[Array, ""]) -> Batch:
        return self.inner.sample_batch(key)

    def full_batch(self) -> Batch:
        return self.inner.full_batch()

    def valid(self) -> Params | None:
        return self.inner.valid()


class Rescale(Transform):
    """The inner problem in coordinates that are `scale` times as large.

    Makes the optimizer deal with gradients and distances of any size: the loss is
    `f(params / scale)`, the first params are `scale` times the inner ones, gradients shrink
    by `scale`, and what the inner problem does to gradients happens in its coordinates.

    **Example**

    ```python
    problem = Rescale(Quadratic(dimensions=20, key=key), scale=10.0)
    ```
    """

    scale: Float[Array, ""]

    def __init__(self, inner: Problem, *, scale: float) -> None:
        self.inner = inner
        self.scale = scalar("scale", scale, above=0.0)

    def init(self, key: Key[Array, ""]) -> Params:
        return self._times_scale(self.inner.init(key))

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        return self.inner.loss(self._by_scale(params), batch, key)

    def perturb_gradient(self, gradient: Params, key: Key[Array, ""]) -> Params:
        inner_gradient = self._times_scale(gradient)
        return self._by_scale(self.inner.perturb_gradient(inner_gradient, key))

    def _times_scale(self, tree: Params) -> Params:
        return jax.tree.map(lambda leaf: leaf * self.scale.astype(leaf.dtype), tree)

    def _by_scale(self, tree: Params) -> Params:
        return jax.tree.map(lambda leaf: leaf / self.scale.astype(leaf.dtype), tree)

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        quadratic = Quadratic(dimensions=3, key=jax.random.key(0))
        return [cls(quadratic, scale=10.0), cls(cls(quadratic, scale=5.0), scale=0.01)]


class LogObjective(Transform):
    """The logarithm of the inner loss: `log(f + 1e-6) - log(1e-6)`, which is non-negative.

    A monotone transform: the same minima, another curvature, and relative gradients, which
    do not fade on the way. Unlike the paper's code, trajectories begin where the inner
    problem says. The inner problem's noise is that of the gradient of the logarithm.

    **Example**

    ```python
    problem = LogObjective(Bowl(condition_number=5.0))
    ```
    """

    def __init__(self, inner: Problem) -> None:
        self.inner = inner

    def init(self, key: Key[Array, ""]) -> Params:
        return self.inner.init(key)

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        return jnp.log1p(self.inner.loss(params, batch, key) / LOG_OFFSET)

    def perturb_gradient(self, gradient: Params, key: Key[Array, ""]) -> Params:
        return self.inner.perturb_gradient(gradient, key)

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        quadratic = Quadratic(dimensions=3, key=jax.random.key(0))
        return [cls(quadratic), cls(Rescale(Bowl(condition_number=0.1), scale=3.0))]
