"""Many problems at once, each with matrices of its own even where all of them share one.

For the product of a matrix that all share and each problem's features by params `jax.vmap` has
XLA turn the features of all problems round, number by number, multiply once, and turn the
result back. For problems of some hundred params the turning takes longer than the products:
30 x 12 numbers times 32 problems' 12 x 197 take 209 us so on one core, as 32 products 85 (LOG.md,
2026-11-27).

https://docs.jax.dev/en/latest/notebooks/Writing_custom_interpreters_in_Jax.html
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr

from lopt.inlining import Atom, Constant, Equation, inlined, scan_counts
from lopt.traced_batches import called, carry_flags, closed_of, traced

Result = TypeVar("Result")


class _Value(NamedTuple):
    """An array and which of its axes is that of the problems, if one is."""

    array: Any
    axis: int | None


def with_own_weights(function: Callable[..., Result], in_axes: Any = 0) -> Callable[..., Result]:
    """Do what `jax.vmap(function, in_axes)` does, with own copies of shared matrices.

    Copied is what a problem's larger array is multiplied by. `in_axes` is 0 or `None`, or a
    sequence of these for the arguments. Gives the same numbers up to rounding.

    **Example**

    ```python
    updates = with_own_weights(update, in_axes=(None, 0))(weights, gradients)
    ```
    """

    def batched(*arguments: Any) -> Result:
        batch = traced(function, in_axes, arguments)
        values = [
            _Value(leaf, 0 if flag else None)
            for leaf, flag in zip(batch.leaves, batch.flags, strict=True)
        ]
        outputs = [_first(value, batch.size) for value in _run(batch.closed, values, batch.size)]
        result: Result = jax.tree.unflatten(batch.structure, [value.array for value in outputs])
        return result

    return batched


def _first(value: _Value, size: int) -> _Value:
    """Put the problems first; give every problem its own, if all have had the same."""
    if value.axis is None:
        return _Value(jnp.broadcast_to(value.array, (size, *jnp.shape(value.array))), 0)
    return _Value(jnp.moveaxis(value.array, value.axis, 0), 0)


def _run(closed: ClosedJaxpr, values: Sequence[_Value], size: int) -> list[_Value]:
    program = inlined(closed)
    every = [*(_Value(constant, None) for constant in closed.consts), *values]
    known = dict(enumerate(every))
    for equation in program.equations:
        written = _apply(equation, _read(equation.reads, known), size)
        known.update(zip(equation.writes, written, strict=True))
    return _read(program.outputs, known)


def _read(atoms: Sequence[Atom], known: Mapping[int, _Value]) -> list[_Value]:
    return [
        _Value(atom.value, None) if isinstance(atom, Constant) else known[atom] for atom in atoms
    ]


def _apply(equation: Equation, reads: Sequence[_Value], size: int) -> list[_Value]:
    inner = called(equation)
    if inner is not None:
        return _run(inner, reads, size)
    if all(value.axis is None for value in reads):
        return [_Value(array, None) for array in equation.bind([one.array for one in reads])]
    if equation.eqn.primitive is jax.lax.scan_p:
        return _scan(equation, reads, size)
    if equation.eqn.primitive is jax.lax.dot_general_p:
        reads = _own(equation, reads, size)
    axes, arrays = [value.axis for value in reads], [value.array for value in reads]
    written = jax.vmap(lambda *arrays: equation.bind(arrays), axes)(*arrays)
    return [_Value(array, 0) for array in written]


def _own(equation: Equation, reads: Sequence[_Value], size: int) -> Sequence[_Value]:
    """Copy a shared factor for every problem, unless it is the larger one."""
    shared = [place for place, value in enumerate(reads) if value.axis is None]
    sizes = [math.prod(form.shape) for form in equation.read_forms]
    if not shared or sizes[shared[0]] > sizes[1 - shared[0]]:
        return reads
    return [_first(value, size) for value in reads]


def _scan(equation: Equation, reads: Sequence[_Value], size: int) -> list[_Value]:
    params = equation.eqn.params
    body = closed_of(params["jaxpr"])
    constants, carried = scan_counts(equation.eqn)
    flags = carry_flags(body, [value.axis is not None for value in reads], constants, carried)
    fixed, start, xs = (
        reads[:constants],
        _first_where(flags, reads[constants : constants + carried], size),
        [_second_if_first(value) for value in reads[constants + carried :]],
    )
    axes = [value.axis for value in start]
    axes_of_ys: list[int | None] = []

    def step(carry: Sequence[Any], x: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        carry_values = [_Value(a, axis) for a, axis in zip(carry, axes, strict=True)]
        x_values = [_Value(a, _moved(value.axis, -1)) for a, value in zip(x, xs, strict=True)]
        written = _run(body, [*fixed, *carry_values, *x_values], size)
        after, ys = _first_where(flags, written[:carried], size), written[carried:]
        axes_of_ys[:] = [_moved(value.axis, 1) for value in ys]
        return [value.array for value in after], [value.array for value in ys]

    after, ys = jax.lax.scan(
        step,
        [value.array for value in start],
        [value.array for value in xs],
        length=params["length"],
        reverse=params["reverse"],
        unroll=params["unroll"],
    )
    return [_Value(a, axis) for a, axis in zip([*after, *ys], [*axes, *axes_of_ys], strict=True)]


def _first_where(flags: Sequence[bool], values: Sequence[_Value], size: int) -> list[_Value]:
    return [
        _first(value, size) if flag else value for value, flag in zip(values, flags, strict=True)
    ]


def _second_if_first(value: _Value) -> _Value:
    """Make room for the axis of the steps, which a loop goes through."""
    return _Value(jnp.moveaxis(value.array, 0, 1), 1) if value.axis == 0 else value


def _moved(axis: int | None, by: int) -> int | None:
    return None if axis is None else axis + by
