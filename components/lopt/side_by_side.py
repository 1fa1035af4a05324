"""Many small problems side by side, with the problems as the last axis of every array.

`jax.vmap` puts them first. Where a problem has ten params, a compiled loop then runs over ten
numbers at a time, and each problem's little matrices are products of their own. With the
problems last, neighbours in memory are the same number of neighbouring problems: loops run over
all of them, a product by a matrix that they share is one product, and products of matrices of
their own are sums that are vectorised over the problems.

https://docs.jax.dev/en/latest/notebooks/Writing_custom_interpreters_in_Jax.html
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr
from jaxtyping import Array, PyTree

from lopt.inlining import Atom, Constant, Equation, inlined, scan_counts
from lopt.problems_last import RULES, Value, bind, product_by_turned, spread, turned_order

Result = TypeVar("Result")

SMALL = 64
"""Problems of up to so many params are small."""

# Calls whose derivative is written by hand: it has been taken, or is not wanted.
_CALLS = {
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
}


def for_each_problem(
    function: Callable[..., Result], params: PyTree[Array], in_axes: Any = 0
) -> Callable[..., Result]:
    """Return `function` for many problems: side by side if they are small, by `jax.vmap` if not.

    `params` are those of all problems, which are the first axis. On accelerators it is always
    `jax.vmap`: what the order of the axes does to their programs has not been measured.

    **Example**

    ```python
    losses = for_each_problem(loss, params)(params, targets)
    ```
    """
    if are_small(params) and jax.default_backend() == "cpu":
        return side_by_side(function, in_axes)
    return jax.vmap(function, in_axes)


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

    def batched(*arguments: Any) -> Result:
        axes = in_axes if isinstance(in_axes, Sequence) else (in_axes,) * len(arguments)
        leaves, structure = jax.tree.flatten(arguments)
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
        values = [
            Value(jnp.moveaxis(leaf, 0, -1) if flag else leaf, flag)
            for leaf, flag in zip(leaves, flags, strict=True)
        ]
        outputs = [
            jnp.moveaxis(spread(value, size).array, -1, 0) for value in _run(closed, values, size)
        ]
        result: Result = jax.tree.unflatten(jax.tree.structure(form), outputs)
        return result

    return batched


def _form(leaf: Any, batched: bool) -> jax.ShapeDtypeStruct:
    shape = jnp.shape(leaf)
    return jax.ShapeDtypeStruct(shape[1:] if batched else shape, jnp.result_type(leaf))


# Second factors of products, by the equation that they are turned for.
Turned = Mapping[tuple[int, ...], Array]


def _run(
    closed: ClosedJaxpr, values: Sequence[Value], size: int, turned: Turned = MappingProxyType({})
) -> list[Value]:
    """Evaluate a function that was traced for one problem, for all of them."""
    program = inlined(closed)
    every = [*(Value(constant, False) for constant in closed.consts), *values]
    known = dict(enumerate(every))
    for equation in program.equations:
        reads = _read(equation.reads, known)
        if equation.writes in turned and reads[0].batched:
            made = product_by_turned(equation, reads[0].array, turned[equation.writes])
            written = [Value(made, True)]
        else:
            written = _apply(equation, reads, size)
        known.update(zip(equation.writes, written, strict=True))
    return _read(program.outputs, known)


def _read(atoms: Sequence[Atom], known: Mapping[int, Value]) -> list[Value]:
    return [
        Value(atom.value, False) if isinstance(atom, Constant) else known[atom] for atom in atoms
    ]


def _apply(equation: Equation, reads: Sequence[Value], size: int) -> list[Value]:
    name = equation.eqn.primitive.name
    if name in _CALLS:
        return _run(_closed(equation.eqn.params[_CALLS[name]]), reads, size)
    if not any(value.batched for value in reads):
        written = bind(equation, [value.array for value in reads])
        return [Value(array, False) for array in written]
    if name == "scan":
        return _scan(equation, reads, size)
    rule = RULES.get(name)
    known = None if rule is None else rule(equation, reads, size)
    written = _by_vmap(equation, reads) if known is None else known
    return [Value(array, True) for array in written]


def _closed(jaxpr: Any) -> ClosedJaxpr:
    return jaxpr if isinstance(jaxpr, ClosedJaxpr) else ClosedJaxpr(jaxpr, ())


def _by_vmap(equation: Equation, reads: Sequence[Value]) -> list[Any]:
    """Let JAX do what is not known here, and put the problems last again."""
    axes = [-1 if value.batched else None for value in reads]
    return list(
        jax.vmap(lambda *arrays: bind(equation, arrays), axes, -1)(
            *(value.array for value in reads)
        )
    )


def _scan(equation: Equation, reads: Sequence[Value], size: int) -> list[Value]:
    params = equation.eqn.params
    body = _closed(params["jaxpr"])
    constants, carried = scan_counts(equation.eqn)
    flags = _carry_flags(body, [value.batched for value in reads], constants, carried)
    fixed, start, xs = (
        reads[:constants],
        [
            spread(value, size) if flag else value
            for value, flag in zip(reads[constants : constants + carried], flags, strict=True)
        ],
        reads[constants + carried :],
    )
    written_flags: list[bool] = []
    turned = _turned(body, fixed)

    def step(carry: Sequence[Any], x: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        carry_values = [Value(a, flag) for a, flag in zip(carry, flags, strict=True)]
        x_values = [Value(a, value.batched) for a, value in zip(x, xs, strict=True)]
        written = _run(body, [*fixed, *carry_values, *x_values], size, turned)
        after, ys = written[:carried], written[carried:]
        written_flags[:] = [value.batched for value in ys]
        kept = [
            spread(value, size) if flag else value for value, flag in zip(after, flags, strict=True)
        ]
        return [value.array for value in kept], [value.array for value in ys]

    after, ys = jax.lax.scan(
        step,
        [value.array for value in start],
        [value.array for value in xs],
        length=params["length"],
        reverse=params["reverse"],
        unroll=params["unroll"],
    )
    flags_of_all = [*flags, *written_flags]
    return [Value(a, flag) for a, flag in zip([*after, *ys], flags_of_all, strict=True)]


def _turned(body: ClosedJaxpr, fixed: Sequence[Value]) -> Turned:
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


def _carry_flags(
    body: ClosedJaxpr, reads: Sequence[bool], constants: int, carried: int
) -> list[bool]:
    """Tell what is carried that differs between problems, in some step."""
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
