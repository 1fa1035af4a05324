"""Many problems at once, each with matrices of its own even where all of them share one.

For the product of a matrix that all share and each problem's features by params `jax.vmap` has
XLA turn the features of all problems round, number by number, multiply once, and turn the
result back. For problems of some hundred params the turning takes longer than the products:
30 x 12 numbers times 32 problems' 12 x 197 take 209 us so on one core, as 32 products 85 (LOG.md,
2026-11-27).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr

from lopt.inlining import Equation
from lopt.layouts import NOTHING, Layout, Prepared, Value, laid_out

Result = TypeVar("Result")


def with_own_weights(function: Callable[..., Result], in_axes: Any = 0) -> Callable[..., Result]:
    """Do what `jax.vmap(function, in_axes)` does, with own copies of shared matrices.

    Copied is what a problem's larger array is multiplied by. `in_axes` is 0 or `None`, or a
    sequence of these for the arguments. Gives the same numbers up to rounding.

    **Example**

    ```python
    updates = with_own_weights(update, in_axes=(None, 0))(weights, gradients)
    ```
    """
    return laid_out(_OwnWeights(), function, in_axes)


class _OwnWeights(Layout):
    """The problems are the first axis."""

    def spread(self, value: Value, size: int) -> Value:
        if value.axis is None:
            array = jnp.broadcast_to(value.array, (size, *jnp.shape(value.array)))
        else:
            array = jnp.moveaxis(value.array, value.axis, 0)
        return Value(array, -array.ndim)

    def operate(
        self, equation: Equation, reads: Sequence[Value], size: int, prepared: Any
    ) -> list[Value]:
        del prepared
        if equation.eqn.primitive is jax.lax.dot_general_p:
            reads = self._own(equation, reads, size)
        axes, arrays = [value.axis for value in reads], [value.array for value in reads]
        written = jax.vmap(lambda *arrays: equation.bind(arrays), axes)(*arrays)
        return [Value(array, -array.ndim) for array in written]

    def prepare(self, body: ClosedJaxpr, fixed: Sequence[Value]) -> Prepared:
        del body, fixed
        return NOTHING

    def _own(self, equation: Equation, reads: Sequence[Value], size: int) -> Sequence[Value]:
        """Copy a shared factor for every problem, unless it is the larger one."""
        shared = [place for place, value in enumerate(reads) if not value.batched]
        sizes = [math.prod(form.shape) for form in equation.read_forms]
        if not shared or sizes[shared[0]] > sizes[1 - shared[0]]:
            return reads
        return [self.spread(value, size) for value in reads]
