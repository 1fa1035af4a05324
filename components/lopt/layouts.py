"""A function, traced for one problem, evaluated for many of them in a layout of choice.

What `jax.vmap` does, where how the problems lie in memory and what single operations do there
decide how fast it is. `lopt.side_by_side` and `lopt.own_weights` are layouts.

https://docs.jax.dev/en/latest/notebooks/Writing_custom_interpreters_in_Jax.html
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr

from lopt.inlining import Atom, Constant, Equation, inlined, scan_counts
from lopt.traced_batches import called, carry_flags, closed_of, traced
from lopt.written_once import is_computed_once, written_once

Result = TypeVar("Result")

# What a layout has made before a loop, by what the equation writes that it is for.
Prepared = Mapping[tuple[int, ...], Any]
NOTHING: Prepared = MappingProxyType({})


class Value(NamedTuple):
    """An array, and which of its axes is that of the problems, if one is.

    Axes are counted from the last one, which is -1: so they are the same with and without an
    axis of steps in front.
    """

    array: Any
    axis: int | None

    @property
    def batched(self) -> bool:
        """Whether problems have an array each."""
        return self.axis is not None

    @property
    def problems_first(self) -> Any:
        """The array with the axis of the problems in front, if it has one."""
        return self.array if self.axis is None else jnp.moveaxis(self.array, self.axis, 0)


class Layout(ABC):
    """Where the axis of the problems is put, and what operations do with it there."""

    @abstractmethod
    def spread(self, value: Value, size: int) -> Value:
        """Put the problems where they belong; give each its own, if all have had the same."""

    @abstractmethod
    def operate(
        self, equation: Equation, reads: Sequence[Value], size: int, prepared: Any
    ) -> list[Value]:
        """Do an operation of which some operand is batched; `prepared` is `None` if nothing is."""

    @abstractmethod
    def prepare(self, body: ClosedJaxpr, fixed: Sequence[Value]) -> Prepared:
        """Make what the equations of a loop's body would make anew at every step.

        Of what the loop does not change, which the body reads first.
        """


def laid_out(
    layout: Layout, function: Callable[..., Result], in_axes: Any
) -> Callable[..., Result]:
    """Do what `jax.vmap(function, in_axes)` does, in a layout.

    `in_axes` is 0 or `None`, or a sequence of these for the arguments.

    **Example**

    ```python
    updates = laid_out(layout, update, in_axes=(None, 0))(weights, gradients)
    ```
    """

    def batched(*arguments: Any) -> Result:
        batch = traced(function, in_axes, arguments)
        values = [
            layout.spread(Value(leaf, -jnp.ndim(leaf)), batch.size) if flag else Value(leaf, None)
            for leaf, flag in zip(batch.leaves, batch.flags, strict=True)
        ]
        written = _evaluated(layout, batch.closed, values, batch.size)
        outputs = [layout.spread(value, batch.size).problems_first for value in written]
        result: Result = jax.tree.unflatten(batch.structure, outputs)
        return result

    return batched


def _evaluated(
    layout: Layout,
    closed: ClosedJaxpr,
    values: Sequence[Value],
    size: int,
    prepared: Prepared = NOTHING,
) -> list[Value]:
    program = inlined(closed)
    every = [*(Value(constant, None) for constant in closed.consts), *values]
    known = dict(enumerate(every))
    for equation in program.equations:
        reads = _read(equation.reads, known)
        written = _apply(layout, equation, reads, size, prepared.get(equation.writes))
        known.update(zip(equation.writes, written, strict=True))
    return _read(program.outputs, known)


def _read(atoms: Sequence[Atom], known: Mapping[int, Value]) -> list[Value]:
    return [
        Value(atom.value, None) if isinstance(atom, Constant) else known[atom] for atom in atoms
    ]


def _apply(
    layout: Layout, equation: Equation, reads: Sequence[Value], size: int, prepared: Any
) -> list[Value]:
    inner = called(equation)
    if inner is not None:
        return _evaluated(layout, inner, reads, size)
    if not any(value.batched for value in reads):
        written = equation.bind([value.array for value in reads])
        return [Value(array, None) for array in written]
    if equation.eqn.primitive is jax.lax.scan_p:
        return _scan(layout, equation, reads, size)
    if is_computed_once(equation.eqn):
        return [Value(written_once(reads[0].array), reads[0].axis)]
    return layout.operate(equation, reads, size, prepared)


def _scan(layout: Layout, equation: Equation, reads: Sequence[Value], size: int) -> list[Value]:
    params = equation.eqn.params
    body = closed_of(params["jaxpr"])
    constants, carried = scan_counts(equation.eqn)
    flags = carry_flags(body, [value.batched for value in reads], constants, carried)

    def spread(values: Sequence[Value]) -> list[Value]:
        return [
            layout.spread(value, size) if flag else value
            for value, flag in zip(values, flags, strict=True)
        ]

    fixed, start, xs = (
        reads[:constants],
        spread(reads[constants : constants + carried]),
        [_behind_steps(value) for value in reads[constants + carried :]],
    )
    prepared = layout.prepare(body, fixed)
    axes_of_ys: list[int | None] = []

    def step(carry: Sequence[Any], x: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        given = [
            Value(array, value.axis)
            for array, value in zip([*carry, *x], [*start, *xs], strict=True)
        ]
        written = _evaluated(layout, body, [*fixed, *given], size, prepared)
        after, ys = spread(written[:carried]), written[carried:]
        axes_of_ys[:] = [value.axis for value in ys]
        return [value.array for value in after], [value.array for value in ys]

    after, ys = jax.lax.scan(
        step,
        [value.array for value in start],
        [value.array for value in xs],
        length=params["length"],
        reverse=params["reverse"],
        unroll=params["unroll"],
    )
    axes = [*(value.axis for value in start), *axes_of_ys]
    return [Value(array, axis) for array, axis in zip([*after, *ys], axes, strict=True)]


def _behind_steps(value: Value) -> Value:
    """Put the axis of the steps first, which a loop goes through."""
    if value.axis is None or value.axis > -value.array.ndim:
        return value
    return Value(jnp.moveaxis(value.array, 0, 1), value.axis + 1)
