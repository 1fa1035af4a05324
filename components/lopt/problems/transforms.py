"""Problems made of one problem: PAPER.md section 5.2, with the defects of its section 9 mended.

What a transform does to gradients composes with what its inner problem does to them, the inner
one first, and drawing a transform anew draws its inner problem anew.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from lopt.problems.arguments import scalar
from lopt.problems.base import Batch, Params, Problem
from lopt.problems.quadratics import Bowl, Quadratic

LOG_OFFSET = 1e-6


class Transform(Problem):
    """A problem around an inner one: whatever a subclass does not write is that of the inner one.

    **Example**

    ```python
    assert isinstance(problem, Transform)
    problem.inner.loss(params, batch, key)
    ```
    """

    inner: Problem

    @property
    def nonnegative(self) -> bool:
        return self.inner.nonnegative

    def init(self, key: Key[Array, ""]) -> Params:
        return self.inner.init(key)

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        return self.inner.loss(params, batch, key)

    def draw(self, key: Key[Array, ""]) -> Problem:
        drawn: Problem = eqx.tree_at(lambda outer: outer.inner, self, self.inner.draw(key))
        return drawn

    def sample_batch(self, key: Key[Array, ""]) -> Batch:
        return self.inner.sample_batch(key)

    def full_batch(self) -> Batch:
        return self.inner.full_batch()

    def validation_batch(self) -> Batch:
        return self.inner.validation_batch()

    def perturb_gradient(self, gradient: Params, key: Key[Array, ""]) -> Params:
        return self.inner.perturb_gradient(gradient, key)

    def valid(self) -> Params | None:
        return self.inner.valid()


def innermost(problem: Problem) -> Problem:
    """Return what is left of a problem without the transforms around it.

    **Example**

    ```python
    assert innermost(Rescale(LogObjective(bowl), scale=2.0)) is bowl
    ```
    """
    while isinstance(problem, Transform):
        problem = problem.inner
    return problem


class ChangeOfCoordinates(Transform):
    """The inner problem in coordinates that are a linear function of its own.

    Trajectories begin at the same points, losses there are the same, and what the inner
    problem does to gradients happens in its coordinates. A subclass writes the two functions,
    each the inverse of the other; gradients go through their transposes.

    **Example**

    ```python
    inner_params = problem.to_inner(params)
    assert jnp.allclose(problem.from_inner(inner_params), params)
    ```
    """

    @abstractmethod
    def to_inner(self, params: Params) -> Params:
        """Return the params of the inner problem, of the same structure, shapes and dtypes."""

    @abstractmethod
    def from_inner(self, params: Params) -> Params:
        """Return the params whose inner ones are given."""

    def init(self, key: Key[Array, ""]) -> Params:
        return self.from_inner(self.inner.init(key))

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        return self.inner.loss(self.to_inner(params), batch, key)

    def perturb_gradient(self, gradient: Params, key: Key[Array, ""]) -> Params:
        inner_gradient = _transposed(self.from_inner, gradient)
        return _transposed(self.to_inner, self.inner.perturb_gradient(inner_gradient, key))


def _transposed(change: Callable[[Params], Params], gradient: Params) -> Params:
    # The change keeps shapes and dtypes, so a gradient stands for its argument as well.
    (moved,) = jax.linear_transpose(change, gradient)(gradient)
    return moved


class Rescale(ChangeOfCoordinates):
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

    def to_inner(self, params: Params) -> Params:
        return jax.tree.map(lambda leaf: leaf / self.scale.astype(leaf.dtype), params)

    def from_inner(self, params: Params) -> Params:
        return jax.tree.map(lambda leaf: leaf * self.scale.astype(leaf.dtype), params)

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        quadratic = Quadratic(dimensions=3, key=jax.random.key(0))
        return [cls(quadratic, scale=10.0), cls(cls(quadratic, scale=5.0), scale=0.01)]


class LogObjective(Transform):
    """The logarithm of the inner loss: `log(f + 1e-6) - log(1e-6)`, which is non-negative.

    A monotone transform: the same minima, another curvature, and relative gradients, which
    do not fade on the way. Unlike the paper's code, trajectories begin where the inner
    problem says. The inner problem's noise is that of the gradient of the logarithm.

    Where `applied` is false the loss is the inner one. It is a leaf, so that both share one
    program. A loss over a minibatch that is below 0 counts as 0.

    Raises `ValueError` if it is to be applied to a problem whose loss can be negative.

    **Example**

    ```python
    problem = LogObjective(Bowl(condition_number=5.0))
    ```
    """

    applied: Bool[Array, ""]

    def __init__(self, inner: Problem, *, applied: bool = True) -> None:
        if applied and not inner.nonnegative:
            name = type(innermost(inner)).__name__
            raise ValueError(
                f"The loss of {name} can be below 0, where it has no logarithm: take an inner "
                f"problem whose loss cannot, or False where {applied} is given."
            )
        self.inner = inner
        self.applied = jnp.asarray(applied, jnp.bool_)

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        loss = self.inner.loss(params, batch, key)
        # Where it is not selected, too, the derivative of the logarithm has to be finite. A loss
        # that is not a number stays one.
        is_unfit = ~self.applied | (loss < 0)
        logarithm = jnp.log1p(jnp.where(is_unfit, 0.0, loss) / LOG_OFFSET)
        return jnp.where(self.applied, logarithm, loss)

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        quadratic = Quadratic(dimensions=3, key=jax.random.key(0))
        rescaled = Rescale(Bowl(condition_number=0.1), scale=3.0)
        return [cls(quadratic), cls(quadratic, applied=False), cls(rescaled)]
