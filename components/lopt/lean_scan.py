"""A loop and its derivative, which keeps nothing of a step that is made again at no cost.

Differentiating `jax.lax.scan` keeps of every step all that its derivative reads. Much of that
is a sum or a product of other things that are kept: a new average of the old one and its
weight, a gated state of gate and state. To write, clear and read memory takes longer than to
compute these once more.
"""

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lopt.cheapest_cut import cheapest_cut
from lopt.inlining import Atom, Constant, Equation, Inlined, inlined, needed, read

# Carry, what is remembered and what has no derivative, of what is fixed, carry and x.
Step = Callable[[Any, list[Any], Any], tuple[list[Any], Any, Any]]

# fmt: off
CHEAP = frozenset((
    "abs", "add", "add_any", "and", "broadcast_in_dim", "concatenate",
    "convert_element_type", "eq", "ge", "gt", "integer_pow", "is_finite", "le", "lt",
    "max", "min", "mul", "ne", "neg", "not", "one_minus_square", "or", "reshape", "rsqrt",
    "select_n", "sign", "slice", "split", "square", "squeeze", "stop_gradient", "sub", "transpose",
))
# fmt: on
"""Operations that take less time than to write what they give and to read it."""


class Scanned(NamedTuple):
    """What a loop gives, and its derivative."""

    carry: list[Any]
    remembered: Any
    # What has no derivative, of all steps.
    aside: Any
    backward: Callable[[list[Any], Any], tuple[Any, list[Any], Any]]
    """From cotangents of carry and remembered to those of what is fixed, the carry and the xs."""


def lean_scan(step: Step, fixed: Any, carry: Sequence[Any], xs: Any, length: int) -> Scanned:
    """Run a loop as `jax.lax.scan` does, keeping as little as can be for its derivative.

    `step` takes what is fixed, the carry and one of the xs; it returns the carry, what is to be
    remembered and what is to be given beside it without a derivative. `backward` is a pytree.

    **Example**

    ```python
    scanned = lean_scan(lambda w, c, x: ([w * c[0] + x], c[0], None), 0.9, [1.0], jnp.ones(5), 5)
    scanned.backward([jnp.array(1.0)], jnp.zeros(5))
    ```
    """
    carry = [jnp.asarray(leaf) for leaf in carry]
    x = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), xs)
    traced = _traced(step, fixed, carry, x)
    plan = _plan(traced)
    constants = dict(enumerate([*traced.constants, *jax.tree.leaves(fixed)]))
    for equation in plan.before:
        constants.update(equation.run(constants))

    def forward(carry: list[Any], x: Any) -> tuple[list[Any], Any]:
        values = constants | dict(enumerate([*carry, *jax.tree.leaves(x)], traced.fixed))
        for equation in plan.during:
            values.update(equation.run(values))
        results = read(traced.results, values)
        after, remembered, aside = jax.tree.unflatten(traced.structure, results)
        return after, (remembered, aside, read(plan.kept, values))

    after, (remembered, aside, kept) = jax.lax.scan(forward, carry, xs, length=length)
    lasting = {number: constants[number] for number in plan.lasting}
    way_back = functools.partial(_backward, traced, plan, length)
    backward = jax.tree_util.Partial(way_back, lasting, kept, fixed)
    return Scanned(after, remembered, aside, backward)


class _Traced(NamedTuple):
    """A step with what its derivative reads, as one flat program."""

    program: Inlined
    constants: list[Any]
    # The program's first arguments, up to this one, are the same at every step.
    fixed: int
    results: list[Atom]
    residuals: list[Atom]
    # Of the results, and of the derivative, which is filled with the residuals.
    structure: Any
    derivative: Any


def _traced(step: Step, fixed: Any, carry: list[Any], x: Any) -> _Traced:
    structures: list[Any] = []

    def run(fixed: Any, carry: list[Any], x: Any) -> Any:
        after, remembered, aside = step(fixed, carry, x)
        return (list(after), remembered), aside

    def both(fixed: Any, carry: list[Any], x: Any) -> Any:
        (after, remembered), backward, aside = jax.vjp(run, fixed, carry, x, has_aux=True)
        results, structure = jax.tree.flatten((after, remembered, aside))
        residuals, backward_structure = jax.tree.flatten(backward)
        structures[:] = [structure, backward_structure, len(results)]
        return results + residuals

    closed = jax.make_jaxpr(both)(fixed, carry, x)
    structure, derivative, count = structures
    # The derivative has been taken: nothing hides from whoever makes things again.
    program = inlined(closed, differentiated=True)
    first = len(closed.consts) + len(jax.tree.leaves(fixed))
    results, residuals = program.outputs[:count], program.outputs[count:]
    return _Traced(program, closed.consts, first, results, residuals, structure, derivative)


class _Plan(NamedTuple):
    """What is computed when, and the numbers of what goes from the loop to its derivative."""

    before: list[Equation]
    during: list[Equation]
    again: list[Equation]
    # Once for all steps, and of each of them.
    lasting: list[int]
    kept: list[int]


def _plan(traced: _Traced) -> _Plan:
    steady, before, during = set(range(traced.fixed)), [], []
    for equation in traced.program.equations:
        # What reads nothing, or makes more than it reads, is better made where it is wanted.
        if equation.numbers and equation.numbers <= steady and not equation.grows:
            before.append(equation)
            steady.update(equation.writes)
        else:
            during.append(equation)
    wanted = _numbers(traced.residuals)
    kept = _kept(wanted, steady, during)
    again = needed(during, wanted, steady | kept)
    read_later = wanted.union(*(equation.numbers for equation in again))
    return _Plan(before, during, again, sorted(steady & read_later), sorted(kept))


def _numbers(atoms: Iterable[Atom]) -> set[int]:
    return {atom for atom in atoms if not isinstance(atom, Constant)}


def _kept(wanted: set[int], steady: set[int], during: Sequence[Equation]) -> set[int]:
    made_of: dict[int, set[int]] = {number: set() for number in steady}
    sizes = dict.fromkeys(steady, 1)
    for equation in during:
        forms = [*equation.read_forms, *equation.forms]
        for atom, form in zip((*equation.reads, *equation.writes), forms, strict=True):
            if not isinstance(atom, Constant):
                sizes.setdefault(atom, max(1, math.prod(form.shape)))
        from_nothing = not equation.numbers - steady
        if from_nothing or equation.eqn.primitive.name in CHEAP:
            made_of.update((number, set(equation.numbers)) for number in equation.writes)
    # A carried value may be wanted that no equation reads.
    for number in wanted:
        sizes.setdefault(number, 1)
    return cheapest_cut(wanted, made_of, sizes)


def _backward(
    traced: _Traced,
    plan: _Plan,
    length: int,
    lasting: Mapping[int, Any],
    kept: list[Any],
    fixed: Any,
    of_carry: list[Any],
    of_remembered: Any,
) -> tuple[Any, list[Any], Any]:
    """Go through the steps from the last to the first."""
    carried, all_of_carry = _split(of_carry)
    remembered, all_of_remembered = _split(of_remembered, first_axis=True)
    summed, all_of_fixed = _split(jax.tree.map(_zeros, fixed))

    def step_back(state: Any, taken: Any) -> Any:
        summed, carried = state
        kept, remembered = taken
        values = dict(lasting) | dict(zip(plan.kept, kept, strict=True))
        for equation in plan.again:
            values.update(equation.run(values))
        backward = jax.tree.unflatten(traced.derivative, read(traced.residuals, values))
        cotangents = (all_of_carry(carried), all_of_remembered(remembered))
        more, before, of_x = backward(cotangents)
        summed = [old + new for old, new in zip(summed, _split(more)[0], strict=True)]
        return (summed, _split(before)[0]), of_x

    (summed, carried), of_xs = jax.lax.scan(
        step_back, (summed, carried), (kept, remembered), length=length, reverse=True
    )
    return all_of_fixed(summed), all_of_carry(carried), of_xs


def _zeros(leaf: Any) -> Any:
    """Return the cotangent of what has no influence."""
    if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
        return jnp.zeros_like(leaf)
    return np.zeros(jnp.shape(leaf), jax.dtypes.float0)


def _split(tree: Any, *, first_axis: bool = False) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """Return the cotangents that are numbers, and what puts the others beside them again.

    Those of integers have a type without size, with which no loop goes. `first_axis` tells
    that the tree has one more axis than what it is put together for.
    """
    leaves, structure = jax.tree.flatten(tree)
    empty = [leaf.dtype == jax.dtypes.float0 for leaf in leaves]
    shapes = [leaf.shape[1:] if first_axis else leaf.shape for leaf in leaves]

    def whole(numbers: list[Any]) -> Any:
        rest = iter(numbers)
        every = [
            np.zeros(shape, jax.dtypes.float0) if is_empty else next(rest)
            for shape, is_empty in zip(shapes, empty, strict=True)
        ]
        return jax.tree.unflatten(structure, every)

    return [leaf for leaf, is_empty in zip(leaves, empty, strict=True) if not is_empty], whole
