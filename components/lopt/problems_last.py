"""What single operations do where the problems are the last axis: by the names of JAX.

An operation that is not here is left to `jax.vmap` (`lopt.side_by_side`).
https://docs.jax.dev/en/latest/jax.lax.html
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from lopt.inlining import Equation
from lopt.layouts import Value

LONGEST_SUM = 64
"""Products of each problem's own matrices are written out as sums of up to so many terms."""


Rule = Callable[[Equation, Sequence[Value], int], list[Any] | None]
"""Gives what an operation writes, of what it reads and the number of problems; `None` if it does
not know these operands."""


def spread(value: Value, size: int) -> Value:
    """Put the problems last; give each its own, if all have had the same.

    **Example**

    ```python
    spread(Value(jnp.ones(4), None), 3).array.shape  # (4, 3)
    ```
    """
    if value.axis is None:
        return Value(jnp.repeat(jnp.asarray(value.array)[..., None], size, -1), -1)
    return Value(jnp.moveaxis(value.array, value.axis, -1), -1)


def _elementwise(equation: Equation, reads: Sequence[Value], size: int) -> list[Any]:
    shape = equation.forms[0].shape
    return equation.bind([_of_shape(value, shape, size) for value in reads])


def _of_shape(value: Value, shape: tuple[int, ...], size: int) -> Any:
    """Return an operand in the shape of the result; single numbers may be operands of any."""
    array = jnp.asarray(value.array)
    if not value.batched:
        axes = tuple(range(len(shape))) if array.ndim else ()
        return jax.lax.broadcast_in_dim(array, (*shape, size), axes)
    if array.ndim == len(shape) + 1:
        return array
    return jax.lax.broadcast_in_dim(array, (*shape, size), (len(shape),))


def _along_axes(equation: Equation, reads: Sequence[Value], size: int) -> list[Any]:
    # Axes are counted from the first, and so stay where they are.
    del size
    return equation.bind([value.array for value in reads])


def _broadcast(equation: Equation, reads: Sequence[Value], size: int) -> list[Any] | None:
    if len(reads) > 1:
        return None
    shape, axes = (equation.eqn.params[name] for name in ("shape", "broadcast_dimensions"))
    return [jax.lax.broadcast_in_dim(reads[0].array, (*shape, size), (*axes, len(shape)))]


def _reshape(equation: Equation, reads: Sequence[Value], size: int) -> list[Any] | None:
    if equation.eqn.params["dimensions"] is not None:
        return None
    return [jnp.reshape(reads[0].array, (*equation.eqn.params["new_sizes"], size))]


def _transpose(equation: Equation, reads: Sequence[Value], size: int) -> list[Any]:
    del size
    order = equation.eqn.params["permutation"]
    return equation.bind([reads[0].array], permutation=(*order, len(order)))


def _slice(equation: Equation, reads: Sequence[Value], size: int) -> list[Any]:
    params = equation.eqn.params
    starts, limits = (*params["start_indices"], 0), (*params["limit_indices"], size)
    strides = None if params["strides"] is None else (*params["strides"], 1)
    return [jax.lax.slice(reads[0].array, starts, limits, strides)]


def _concatenate(equation: Equation, reads: Sequence[Value], size: int) -> list[Any]:
    return equation.bind([spread(value, size).array for value in reads])


def _pad(equation: Equation, reads: Sequence[Value], size: int) -> list[Any] | None:
    del size
    operand, filling = reads
    if filling.batched or not operand.batched:
        return None
    padding = (*equation.eqn.params["padding_config"], (0, 0, 0))
    return equation.bind([operand.array, filling.array], padding_config=padding)


def _product(equation: Equation, reads: Sequence[Value], size: int) -> list[Any] | None:
    """Multiply: by what all problems share at once, by their own matrices as a sum."""
    del size
    first, second = reads
    (over, _), _ = equation.eqn.params["dimension_numbers"]
    if not first.batched:
        return equation.bind([first.array, second.array])
    if not second.batched:
        turned = jnp.transpose(second.array, turned_order(equation))
        return [product_by_turned(equation, first.array, turned)]
    terms = math.prod(first.array.shape[axis] for axis in over)
    dtypes = (first.array.dtype, second.array.dtype, equation.forms[0].dtype)
    if any(dtype != jnp.float32 for dtype in dtypes) or not 1 <= terms <= LONGEST_SUM:
        return None
    return [_sum_of_products(*_factors(equation, first.array, second.array))]


def turned_order(equation: Equation) -> tuple[int, ...]:
    """Return the order of the second factor's axes in which those that are summed over come last.

    **Example**

    ```python
    turned = jnp.transpose(weights, turned_order(equation))
    ```
    """
    (_, over), (_, along) = equation.eqn.params["dimension_numbers"]
    form = equation.read_forms[1]
    rest = [axis for axis in range(len(form.shape)) if axis not in {*over, *along}]
    return (*along, *rest, *over)


def product_by_turned(equation: Equation, first: Array, turned: Array) -> Array:
    """Multiply each problem's array by what all share, of which `turned_order` has been made.

    The shared factor goes first, so that the problems are the last axis of the result as they
    are of the array: 320 rows of 20 numbers times a matrix of 20 x 10 take 4 to 6 us on one
    core, the turned matrix times the same numbers as 20 rows of 320 takes 2.

    **Example**

    ```python
    product_by_turned(equation, cotangents, jnp.transpose(weights, turned_order(equation)))
    ```
    """
    (over, _), (along, _) = equation.eqn.params["dimension_numbers"]
    both, summed = len(along), turned.ndim - len(over)
    numbers = ((tuple(range(summed, turned.ndim)), over), (tuple(range(both)), along))
    (made,) = equation.bind([turned, first], dimension_numbers=numbers)
    order = [*range(both), *range(summed, made.ndim - 1), *range(both, summed), made.ndim - 1]
    return jnp.transpose(made, order)


def _factors(equation: Equation, first: Array, second: Array) -> tuple[Array, Array]:
    """Return both factors with their terms along the first axis, and axes that fit each other."""
    over, along = equation.eqn.params["dimension_numbers"]
    one, other = _turned(first, over[0], along[0]), _turned(second, over[1], along[1])
    free = range(1 + len(along[0]), one.ndim - 1)
    others_free = range(len(free) + 1 + len(along[0]), len(free) + other.ndim - 1)
    return jnp.expand_dims(one, tuple(others_free)), jnp.expand_dims(other, tuple(free))


def _turned(factor: Array, over: Sequence[int], along: Sequence[int]) -> Array:
    """Put what is summed over first, as one axis, then the axes along which is multiplied."""
    rest = [axis for axis in range(factor.ndim) if axis not in {*over, *along}]
    turned = jnp.transpose(factor, (*over, *along, *rest))
    terms = math.prod(factor.shape[axis] for axis in over)
    return turned.reshape(terms, *turned.shape[len(over) :])


def _sum_of_products(one: Array, other: Array) -> Array:
    made = np.broadcast_shapes(one.shape[1:], other.shape[1:])
    terms = one.shape[0]
    if terms < 4 or math.prod(made) > max(one.size, other.size):
        return _added([one[term] * other[term] for term in range(terms)])
    # Sums alone would be computed anew wherever the result is read, once for every number that
    # reads it. A reduction is not, to the compiler, so half of the terms are added to the rest by
    # one.
    half = terms // 2
    ones = one[: 2 * half].reshape(2, half, *one.shape[1:])
    others = other[: 2 * half].reshape(2, half, *other.shape[1:])
    halves = _added([ones[:, term] * others[:, term] for term in range(half)])
    total = jnp.asarray(jax.lax.reduce(halves, np.float32(0), _plus, (0,)))
    return total + one[-1] * other[-1] if terms % 2 else total


def _plus(one: Array, other: Array) -> Array:
    # In other words, or XLA calls a library for it, which takes longer than it all. Without
    # functions of jax.numpy: where a reduction that calls one turns out to be of no use, StableHLO
    # ends the process instead of leaving it out.
    return jax.lax.select(jax.lax.ne(other, other), other, one + other)


def _added(terms: Sequence[Array]) -> Array:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


_NAMES: Mapping[Rule, str] = {
    _elementwise: """
    abs acos acosh add add_any and asin asinh atan atan2 atanh cbrt ceil clamp
    convert_element_type copy cos cosh digamma div eq erf erf_inv erfc exp exp2 expm1 floor
    ge gt integer_pow is_finite le lgamma log log1p logistic lt max min mul ne neg nextafter
    not or population_count pow reduce_precision rem round rsqrt select_n shift_left
    shift_right_arithmetic shift_right_logical sign sin sinh sqrt square sub tan tanh
    threefry2x32 xor
    """,
    _along_axes: """
    argmax argmin cumlogsumexp cummax cummin cumprod cumsum reduce_and reduce_max reduce_min
    reduce_or reduce_prod reduce_sum rev squeeze split
    """,
    _broadcast: "broadcast_in_dim",
    _reshape: "reshape",
    _transpose: "transpose",
    _slice: "slice",
    _concatenate: "concatenate",
    _pad: "pad",
    _product: "dot_general",
}
RULES: Mapping[str, Rule] = {name: rule for rule, names in _NAMES.items() for name in names.split()}
"""What is known here, by the name of JAX's primitive."""
