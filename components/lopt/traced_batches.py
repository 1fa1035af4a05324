"""What is common to evaluating a function, traced for one problem, for many of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr
from jaxtyping import Array

from lopt.inlining import Constant, Equation, inlined

# Calls whose derivative is written by hand: it has been taken, or is not wanted.
_CALLS: Mapping[str, str] = {
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
}


class Batch(NamedTuple):
    """A function traced for one problem, and its arguments for many as a flat list."""

    closed: ClosedJaxpr
    leaves: list[Array]
    # Whether an argument has the problems as its first axis.
    flags: list[bool]
    # How many problems there are.
    size: int
    structure: Any


def traced(function: Callable[..., Any], in_axes: Any, arguments: Sequence[Any]) -> Batch:
    """Trace `function` for one problem.

    `in_axes` is 0 or `None`, or a sequence of these for the arguments, as `jax.vmap` has them.

    **Example**

    ```python
    batch = traced(jnp.dot, (None, 0), (jnp.ones((2, 3)), jnp.ones((32, 3))))
    batch.size  # 32
    ```
    """
    axes = in_axes if isinstance(in_axes, Sequence) else (in_axes,) * len(arguments)
    leaves, structure = jax.tree.flatten(tuple(arguments))
    flags = [
        axis is not None
        for axis, argument in zip(axes, arguments, strict=True)
        for _ in jax.tree.leaves(argument)
    ]
    size = next(leaf.shape[0] for leaf, flag in zip(leaves, flags, strict=True) if flag)

    def flat(*leaves: Any) -> Any:
        return function(*jax.tree.unflatten(structure, leaves))

    forms = [_form(leaf, flag) for leaf, flag in zip(leaves, flags, strict=True)]
    closed, form = jax.make_jaxpr(flat, return_shape=True)(*forms)
    return Batch(closed, leaves, flags, size, jax.tree.structure(form))


def _form(leaf: Any, batched: bool) -> jax.ShapeDtypeStruct:
    shape = jnp.shape(leaf)
    return jax.ShapeDtypeStruct(shape[1:] if batched else shape, jnp.result_type(leaf))


def called(equation: Equation) -> ClosedJaxpr | None:
    """Return what an equation calls that can be evaluated in its place, if it does.

    **Example**

    ```python
    called(equation)  # None, of an addition
    ```
    """
    name = equation.eqn.primitive.name
    return closed_of(equation.eqn.params[_CALLS[name]]) if name in _CALLS else None


def closed_of(jaxpr: Any) -> ClosedJaxpr:
    """Return a traced function that carries its constants, of one that may not have any.

    **Example**

    ```python
    body = closed_of(scan.params["jaxpr"])
    ```
    """
    return jaxpr if isinstance(jaxpr, ClosedJaxpr) else ClosedJaxpr(jaxpr, ())


def carry_flags(
    body: ClosedJaxpr, reads: Sequence[bool], constants: int, carried: int
) -> list[bool]:
    """Tell what a loop carries that differs between problems, in some step.

    **Example**

    ```python
    flags = carry_flags(body, [False, True, False], constants=1, carried=2)
    ```
    """
    flags = list(reads[constants : constants + carried])
    while True:
        given = [*reads[:constants], *flags, *reads[constants + carried :]]
        after = [old or new for old, new in zip(flags, _flags(body, given)[:carried], strict=True)]
        if after == flags:
            return flags
        flags = after


def _flags(closed: ClosedJaxpr, given: Sequence[bool]) -> list[bool]:
    program = inlined(closed)
    known = dict(enumerate([*(False for _ in closed.consts), *given]))
    for equation in program.equations:
        any_batched = any(known[number] for number in equation.numbers)
        known.update(dict.fromkeys(equation.writes, any_batched))
    return [not isinstance(atom, Constant) and known[atom] for atom in program.outputs]
