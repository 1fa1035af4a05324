"""Many small problems side by side, with the problems as the last axis of every array.

`jax.vmap` puts them first. Where a problem has ten params, a compiled loop then runs over ten
numbers at a time, and each problem's little matrices are products of their own. With the
problems last, neighbours in memory are the same number of neighbouring problems: loops run over
all of them, a product by a matrix that they share is one product, and products of matrices of
their own are sums that are vectorised over the problems.

https://docs.jax.dev/en/latest/notebooks/Writing_custom_interpreters_in_Jax.html
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr
from jaxtyping import Array, PyTree

from lopt.inlining import Equation, inlined
from lopt.layouts import Layout, Prepared, Value, laid_out
from lopt.own_weights import with_own_weights
from lopt.problems_last import RULES, product_by_turned, spread, turned_order

Result = TypeVar("Result")

SMALL = 64
"""Problems of up to so many params are small."""


def for_each_problem(
    function: Callable[..., Result], params: PyTree[Array], in_axes: Any = 0
) -> Callable[..., Result]:
    """Return `function` for many problems: side by side if they are small, else with own weights.

    `params` are those of all problems, which are the first axis. On accelerators it is always
    `jax.vmap`, to which both ways (`lopt.own_weights` is the other) give the same numbers.

    **Example**

    ```python
    losses = for_each_problem(loss, params)(params, targets)
    ```
    """
    if jax.default_backend() != "cpu":
        return jax.vmap(function, in_axes)
    batched = side_by_side if are_small(params) else with_own_weights
    return batched(function, in_axes)


def are_small(params: PyTree[Array | jax.ShapeDtypeStruct]) -> bool:
    """Tell whether problems are small, by the params of all of them, which are the first axis.

    Shapes without arrays will do.

    **Example**

    ```python
    are_small(jnp.ones((32, 10)))  # True
    ```
    """
    return sum(math.prod(jnp.shape(leaf)[1:]) for leaf in jax.tree.leaves(params)) <= SMALL


def side_by_side(function: Callable[..., Result], in_axes: Any = 0) -> Callable[..., Result]:
    """Do what `jax.vmap(function, in_axes)` does, with the problems last while it is computed.

    `in_axes` is 0 or `None`, or a sequence of these for the arguments. Gives the same numbers
    up to rounding.

    **Example**

    ```python
    updates = side_by_side(update, in_axes=(None, 0))(weights, gradients)
    ```
    """
    return laid_out(_SideBySide(), function, in_axes)


class _SideBySide(Layout):
    """The problems are the last axis; what is prepared are second factors of products, turned."""

    def spread(self, value: Value, size: int) -> Value:
        return spread(value, size)

    def operate(
        self, equation: Equation, reads: Sequence[Value], size: int, prepared: Any
    ) -> list[Value]:
        if prepared is not None and reads[0].batched:
            return [Value(product_by_turned(equation, reads[0].array, prepared), -1)]
        rule = RULES.get(equation.eqn.primitive.name)
        known = None if rule is None else rule(equation, reads, size)
        written = _by_vmap(equation, reads) if known is None else known
        return [Value(array, -1) for array in written]

    def prepare(self, body: ClosedJaxpr, fixed: Sequence[Value]) -> Prepared:
        """Turn what all problems share and a loop multiplies by, once and not at every step."""
        first, turned = len(body.consts), {}
        for equation in inlined(body).equations:
            if equation.eqn.primitive is jax.lax.dot_general_p:
                factor = equation.reads[1]
                if isinstance(factor, int) and first <= factor < first + len(fixed):
                    value = fixed[factor - first]
                    if not value.batched:
                        turned[equation.writes] = jnp.transpose(value.array, turned_order(equation))
        return turned


def _by_vmap(equation: Equation, reads: Sequence[Value]) -> list[Any]:
    """Let JAX do what is not known here, and put the problems last again."""
    axes, arrays = [value.axis for value in reads], [value.array for value in reads]
    return list(jax.vmap(lambda *arrays: equation.bind(arrays), axes, -1)(*arrays))
