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
from lopt.own_weights import with_own_weights
from lopt.problems_last import RULES, Value, product_by_turned, spread, turned_order
from lopt.traced_batches import called, carry_flags, closed_of, traced

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

    def batched(*arguments: Any) -> Result:
        batch = traced(function, in_axes, arguments)
        values = [
            Value(jnp.moveaxis(leaf, 0, -1) if flag else leaf, flag)
            for leaf, flag in zip(batch.leaves, batch.flags, strict=True)
        ]
        outputs = [
            jnp.moveaxis(spread(value, batch.size).array, -1, 0)
            for value in _run(batch.closed, values, batch.size)
        ]
        result: Result = jax.tree.unflatten(batch.structure, outputs)
        return result

    return batched


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
    inner = called(equation)
    if inner is not None:
        return _run(inner, reads, size)
    if not any(value.batched for value in reads):
        written = equation.bind([value.array for value in reads])
        return [Value(array, False) for array in written]
    if equation.eqn.primitive is jax.lax.scan_p:
        return _scan(equation, reads, size)
    rule = RULES.get(equation.eqn.primitive.name)
    known = None if rule is None else rule(equation, reads, size)
    written = _by_vmap(equation, reads) if known is None else known
    return [Value(array, True) for array in written]


def _by_vmap(equation: Equation, reads: Sequence[Value]) -> list[Any]:
    """Let JAX do what is not known here, and put the problems last again."""
    axes = [-1 if value.batched else None for value in reads]
    return list(
        jax.vmap(lambda *arrays: equation.bind(arrays), axes, -1)(*(value.array for value in reads))
    )


def _scan(equation: Equation, reads: Sequence[Value], size: int) -> list[Value]:
    params = equation.eqn.params
    body = closed_of(params["jaxpr"])
    constants, carried = scan_counts(equation.eqn)
    flags = carry_flags(body, [value.batched for value in reads], constants, carried)
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
