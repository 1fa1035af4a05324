"""A traced function as one flat list of equations, however many calls it was written in."""

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

# What `jax.jit` inside the function leaves behind; other calls have derivatives of their own.
_CALLS = ("jit", "pjit", "closed_call", "core_call")
_CALLS_WITH_DERIVATIVES = ("custom_jvp_call", "custom_vjp_call")


class Constant(NamedTuple):
    """A value that is known when the function is traced."""

    value: Any


# A number stands for a value of the function: an argument's or an equation's.
Atom = int | Constant


class Equation(NamedTuple):
    """One operation, what it reads and the numbers of what it writes."""

    eqn: JaxprEqn
    reads: tuple[Atom, ...]
    writes: tuple[int, ...]

    @property
    def numbers(self) -> frozenset[int]:
        """What it reads, without the constants."""
        return frozenset(atom for atom in self.reads if isinstance(atom, int))

    @property
    def forms(self) -> list[jax.core.ShapedArray]:
        """Shapes and dtypes of what it writes."""
        return [_form(variable) for variable in self.eqn.outvars]

    @property
    def read_forms(self) -> list[jax.core.ShapedArray]:
        """Shapes and dtypes of what it reads, constants included."""
        return [_form(variable) for variable in self.eqn.invars]

    @property
    def grows(self) -> bool:
        """Whether it writes more numbers than it reads."""
        return _count(self.forms) > _count(self.read_forms)

    def bind(self, arrays: Sequence[Any], **changes: Any) -> list[Any]:
        """Do the operation on other arrays, and with other params.

        https://docs.jax.dev/en/latest/notebooks/Writing_custom_interpreters_in_Jax.html
        """
        primitive = self.eqn.primitive
        params = primitive.get_bind_params(self.eqn.params | changes)
        with self.eqn.ctx.manager:
            written = primitive.bind(*arrays, **params)
        return list(written) if primitive.multiple_results else [written]

    def run(self, values: Mapping[int, Any]) -> dict[int, Any]:
        """Compute what it writes, by number."""
        return dict(zip(self.writes, self.bind(read(self.reads, values)), strict=True))


def read(atoms: Sequence[Atom], values: Mapping[int, Any]) -> list[Any]:
    """Look atoms up.

    **Example**

    ```python
    read([0, Constant(2.0)], {0: 1.0})  # [1.0, 2.0]
    ```
    """
    return [atom.value if isinstance(atom, Constant) else values[atom] for atom in atoms]


def needed(
    equations: Sequence[Equation], wanted: Iterable[Atom], known: Collection[int]
) -> list[Equation]:
    """Return those that make what is wanted of what is known, in order.

    **Example**

    ```python
    needed(function.equations, function.outputs, known=())
    ```
    """
    missing = {atom for atom in wanted if isinstance(atom, int)} - set(known)
    found = list[Equation]()
    for equation in reversed(equations):
        if missing & set(equation.writes):
            found.append(equation)
            missing |= equation.numbers - set(known)
    return found[::-1]


def scan_counts(scan: JaxprEqn) -> tuple[int, int]:
    """Count the constants and the carried values of a scan, which reads them in this order.

    What it scans over has one axis more than in its body. JAX 0.10 has the counts among the
    params of the equation, and 0.11 has not.

    **Example**

    ```python
    jaxpr = jax.make_jaxpr(lambda x: jax.lax.scan(lambda c, _: (c, c), x, length=3))(1.0)
    scan_counts(jaxpr.eqns[0])  # (0, 1)
    ```
    """
    body = scan.params["jaxpr"]
    inside = body.jaxpr if isinstance(body, ClosedJaxpr) else body
    carried = _count_alike(scan.outvars, inside.outvars)
    return _count_alike(scan.invars, inside.invars) - carried, carried


def _count_alike(some: Sequence[Any], others: Sequence[Any]) -> int:
    """Count those that have as many axes as their counterparts."""
    return sum(one.aval.ndim == other.aval.ndim for one, other in zip(some, others, strict=True))


class Inlined(NamedTuple):
    """A traced function: the first numbers are its arguments, in order."""

    equations: list[Equation]
    outputs: list[Atom]


def inlined(
    closed: ClosedJaxpr, *, differentiated: bool = False, with_calls: bool = False
) -> Inlined:
    """Lay the equations out one after the other, those of inner calls in their place.

    What the function closes over comes first among the arguments, as `closed.consts` has it.
    Once it has been `differentiated`, calls with derivatives of their own are opened as well. With
    `with_calls` none is: compiled as one program, it may round otherwise than its operations do.

    **Example**

    ```python
    flat = inlined(jax.make_jaxpr(lambda x: jnp.where(x > 0, x, 0.0))(1.0))
    ```
    """
    jaxpr = closed.jaxpr
    numbers = itertools.count(len(jaxpr.constvars) + len(jaxpr.invars))
    equations: list[Equation] = []
    every = [*jaxpr.constvars, *jaxpr.invars]
    known = dict(zip(every, itertools.count(), strict=False))
    calls = _CALLS + (_CALLS_WITH_DERIVATIVES if differentiated else ())
    calls = () if with_calls else calls
    outputs = _append(equations, jaxpr, known, numbers, calls)
    return Inlined(equations, outputs)


def _append(
    equations: list[Equation],
    jaxpr: Jaxpr,
    known: dict[Any, Atom],
    numbers: Iterator[int],
    calls: Sequence[str],
) -> list[Atom]:
    def read(variables: Sequence[Any]) -> list[Atom]:
        return [
            Constant(variable.val) if isinstance(variable, Literal) else known[variable]
            for variable in variables
        ]

    for eqn in jaxpr.eqns:
        reads = read(eqn.invars)
        writes: Sequence[Atom]
        if eqn.primitive.name in calls:
            writes = _append_call(equations, eqn.params, reads, numbers, calls)
        else:
            fresh = tuple(next(numbers) for _ in eqn.outvars)
            equations.append(Equation(eqn, tuple(reads), fresh))
            writes = fresh
        known.update(zip(eqn.outvars, writes, strict=True))
    return read(jaxpr.outvars)


def _append_call(
    equations: list[Equation],
    params: Mapping[str, Any],
    reads: Sequence[Atom],
    numbers: Iterator[int],
    calls: Sequence[str],
) -> list[Atom]:
    inner = params["jaxpr"] if "jaxpr" in params else params["call_jaxpr"]
    jaxpr, constants = (
        (inner.jaxpr, inner.consts) if isinstance(inner, ClosedJaxpr) else (inner, ())
    )
    atoms = [*(Constant(value) for value in constants), *reads]
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], atoms, strict=True))
    return _append(equations, jaxpr, known, numbers, calls)


def _count(forms: Sequence[jax.core.ShapedArray]) -> int:
    return sum(math.prod(form.shape) for form in forms)


def _form(variable: Any) -> jax.core.ShapedArray:
    form: jax.core.ShapedArray = variable.aval
    return form
