"""A traced function whose random words are hashed before its loops and branches, not in them.

What a step of a loop draws depends on a key that stays and on the number of the step, so the words
of all steps can be hashed before the first. `lopt.hashed_together` then has one operation for what
different loops and branches ask for.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr

from lopt.hashed_together import MANY, pair_count
from lopt.inlining import Constant, Equation, Inlined, inlined, needed, read, scan_counts
from lopt.traced_batches import closed_of


def hashed_ahead(closed: ClosedJaxpr) -> ClosedJaxpr:
    """Return a traced function that hashes ahead what its scans and branches ask for.

    Bit for bit the same function. Of branches also that is hashed which turns out not to be
    needed. Loops whose number of rounds is not known, and what has effects, are left as they are.

    **Example**

    ```python
    def draw(key):
        return jax.lax.map(jax.random.normal, jax.random.split(key, 9))

    hashed_ahead(jax.make_jaxpr(draw)(jax.random.key(0)))
    ```
    """
    program = inlined(closed)
    if not any(_asks_for_words(equation) for equation in program.equations):
        return closed

    def run(*arguments: Any) -> list[Any]:
        values = dict(enumerate([*closed.consts, *arguments]))
        for equation in program.equations:
            if _asks_for_words(equation):
                rule = _RULES[equation.eqn.primitive.name]
                written = rule(equation, read(equation.reads, values))
                values |= zip(equation.writes, written, strict=True)
            else:
                values |= equation.run(values)
        return read(program.outputs, values)

    forms = [
        jax.ShapeDtypeStruct(form.shape, form.dtype, weak_type=form.weak_type)
        for form in closed.in_avals
    ]
    return jax.make_jaxpr(run)(*forms)


def _asks_for_words(equation: Equation) -> bool:
    """Tell a scan, or a choice between branches, that hashes words and has no effects.

    A choice by platform is the compiler's.
    """
    by_platform = equation.eqn.params.get("branches_platforms") is not None
    is_known = equation.eqn.primitive.name in _RULES and not by_platform
    # Whoever prints from inside of a step wants to see it.
    return is_known and not equation.eqn.effects and any(map(_hashes, _called(equation)))


def _hashes(closed: ClosedJaxpr) -> bool:
    return any(
        pair_count(equation) is not None or any(map(_hashes, _called(equation)))
        for equation in inlined(closed).equations
    )


def _called(equation: Equation) -> list[ClosedJaxpr]:
    params = equation.eqn.params.values()
    every = [one for param in params for one in (param if isinstance(param, tuple) else (param,))]
    return [closed_of(one) for one in every if isinstance(one, ClosedJaxpr | Jaxpr)]


class _Body(NamedTuple):
    """A loop's body or a branch, whose own loops and branches hash ahead."""

    constants: Sequence[Any]
    program: Inlined

    @property
    def first(self) -> int:
        """The number of its first argument."""
        return len(self.constants)


def _body(closed: ClosedJaxpr) -> _Body:
    ahead = hashed_ahead(closed)
    return _Body(ahead.consts, inlined(ahead))


class _Plan(NamedTuple):
    """What of a body is computed ahead, and what is left."""

    body: _Body
    ahead: list[Equation]
    rest: list[Equation]
    # What goes from one to the other.
    words: list[int]

    def run_ahead(self, values: Mapping[int, Any]) -> list[Any]:
        return self._run(self.ahead, values, self.words)

    def run_rest(self, values: Mapping[int, Any], words: Sequence[Any]) -> list[Any]:
        known = dict(values) | dict(zip(self.words, words, strict=True))
        return self._run(self.rest, known, self.body.program.outputs)

    def _run(
        self, equations: Iterable[Equation], values: Mapping[int, Any], wanted: Sequence[Any]
    ) -> list[Any]:
        values = dict(enumerate(self.body.constants)) | dict(values)
        for equation in equations:
            values |= equation.run(values)
        return read(wanted, values)


def _plan(body: _Body, known_ahead: Iterable[int], steps: int) -> _Plan:
    """Divide a body by which of its arguments, numbered as `inlined` does, are known ahead."""
    program = body.program
    known, early, words = {*range(body.first), *known_ahead}, list[Equation](), set[int]()
    for equation in program.equations:
        if equation.numbers <= known and _is_early(equation, steps):
            early.append(equation)
            known.update(equation.writes)
            if pair_count(equation) is not None:
                words.update(equation.writes)
    rest = needed(program.equations, program.outputs, words)
    read_by_rest = {atom for atom in program.outputs if isinstance(atom, int)}
    read_by_rest = read_by_rest.union(*(equation.numbers for equation in rest))
    given = sorted(read_by_rest & words)
    return _Plan(body, needed(early, given, ()), rest, given)


def _is_early(equation: Equation, steps: int) -> bool:
    """Tell what can be computed for all steps at once: little, and to the last bit."""
    largest = steps * max((math.prod(form.shape) for form in equation.forms), default=0)
    # One program of all steps may round otherwise than a step does.
    is_exact = not any(jnp.issubdtype(form.dtype, jnp.inexact) for form in equation.forms)
    return largest <= MANY and is_exact and not _called(equation)


def _branches(equation: Equation, reads: Sequence[Any]) -> Sequence[Any]:
    """Hash what the branches ask for, then take one of them."""
    which, *operands = reads

    def planned(branch: ClosedJaxpr) -> _Plan:
        body = _body(branch)
        return _plan(body, range(body.first, body.first + len(operands)), steps=1)

    plans = [planned(branch) for branch in equation.eqn.params["branches"]]
    words = [plan.run_ahead(dict(enumerate(operands, plan.body.first))) for plan in plans]

    def rest_of(place: int) -> Callable[[Sequence[Any], Sequence[Any]], list[Any]]:
        plan = plans[place]
        return lambda operands, words: plan.run_rest(
            dict(enumerate(operands, plan.body.first)), words[place]
        )

    written: Sequence[Any] = jax.lax.switch(
        which, [rest_of(place) for place in range(len(plans))], operands, words
    )
    return written


def _scan(equation: Equation, reads: Sequence[Any]) -> Sequence[Any]:
    """Hash what all steps ask for that depends on no earlier step, then take them."""
    params = equation.eqn.params
    length, reverse = params["length"], params["reverse"]
    body = _body(closed_of(params["jaxpr"]))
    constants, carried = scan_counts(equation.eqn)
    carry, xs = reads[constants : constants + carried], reads[constants + carried :]
    of_carry = body.first + constants
    of_xs = of_carry + carried
    fixed = dict(enumerate(reads[:constants], body.first))
    steps = jnp.arange(length, dtype=jnp.int32)
    counters = {
        of_carry + place: _counted(carry[place], by, steps[::-1] if reverse else steps)
        for place, by in _counters(body.program, of_carry, carried).items()
    }
    plan = _plan(body, [*fixed, *counters, *range(of_xs, of_xs + len(xs))], length)

    def ahead(counters: Mapping[int, Any], x: Sequence[Any]) -> list[Any]:
        return plan.run_ahead(fixed | dict(counters) | dict(enumerate(x, of_xs)))

    def step(carry: Sequence[Any], given: Any) -> tuple[list[Any], list[Any]]:
        x, words = given
        values = fixed | dict(enumerate(carry, of_carry)) | dict(enumerate(x, of_xs))
        written = plan.run_rest(values, words)
        return written[:carried], written[carried:]

    words = jax.vmap(ahead, axis_size=length)(counters, xs)
    after, ys = jax.lax.scan(
        step, list(carry), (xs, words), length=length, reverse=reverse, unroll=params["unroll"]
    )
    return [*after, *ys]


def _counters(program: Inlined, first: int, carried: int) -> dict[int, Any]:
    """Return what each step adds to whole numbers of the carry, by their places in it.

    `first` is the number of the first that is carried.
    """
    made_by = {number: one for one in program.equations for number in one.writes}
    found = dict[int, Any]()
    for place, after in enumerate(program.outputs[:carried]):
        equation = made_by.get(after) if isinstance(after, int) else None
        if equation is None or equation.eqn.primitive is not jax.lax.add_p:
            continue
        added = [atom for atom in equation.reads if atom != first + place]
        is_whole = jnp.issubdtype(equation.forms[0].dtype, jnp.integer)
        if is_whole and len(added) == 1 and isinstance(added[0], Constant):
            found[place] = added[0].value
    return found


def _counted(start: Any, by: Any, steps: Any) -> Any:
    """Return a number of the carry as it is before each step."""
    start = jnp.asarray(start)
    each = steps.reshape(-1, *(1 for _ in start.shape)).astype(start.dtype)
    return start[None] + each * jnp.asarray(by, start.dtype)


_RULES: Mapping[str, Callable[[Equation, Sequence[Any]], Sequence[Any]]] = {
    "cond": _branches,
    "scan": _scan,
}
