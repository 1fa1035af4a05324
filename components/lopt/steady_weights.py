"""A loop whose weights stand still, to be differentiated with respect to them.

What depends on the weights alone is computed once, before the loop. Where a step multiplies
by a matrix made of them that is larger than what it is multiplied by, the matrix's gradient is
not added up step by step: the loop gives both factors of each step's part, and one product over
all steps follows it. For many problems side by side, all their gradients would otherwise be
read and written at every step. The same is done where a step looks something up in a table made
of them, which is a product by zeros and a one.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import CustomVJPPrimal, SymbolicZero
from jaxtyping import Array, PyTree

from lopt.inlining import Equation, Inlined, inlined, read
from lopt.lean_scan import lean_scan

PRODUCTS = (jax.lax.dot_general_p, jax.lax.dynamic_slice_p, jax.lax.gather_p)
"""Of a steady factor and another one; of a look-up the steady factor comes first."""

LARGE, LARGER = 1500, 3
"""A large matrix has to be so many times larger than the factors of its gradient: to turn many of
these round after the loop takes longer than to add up in it (1,760 and 3,280 numbers with ten
columns a step: 165 us against 70, LOG.md). With smaller ones, whose order of adding up published
results have, it was not measured.
"""

# By their numbers. Constants of a trace can be Python's numbers, so they are of any type.
Numbered = dict[int, Any]
Many = Sequence[Any]


def scan_with_weights(
    body: Callable[[Any, Any], tuple[Any, Any]],
    weights: PyTree[Array],
    carry: PyTree[Array],
    length: int,
) -> tuple[Any, Any]:
    """Do what `jax.lax.scan` does with `lambda carry, _: body(weights, carry)`.

    Gives the same values, and the same derivatives with respect to weights and carry, up to
    rounding.

    Raises `TypeError` if it is differentiated with respect to what `body` closes over, or in
    forward mode.

    **Example**

    ```python
    def body(matrix, x):
        return matrix @ x, x.sum()

    x, sums = scan_with_weights(body, jnp.eye(3), jnp.ones(3), length=5)
    ```
    """
    leaves, structure = jax.tree.flatten((weights, carry))
    count = len(jax.tree.leaves(weights))

    def flat(*leaves: Array) -> Any:
        return body(*jax.tree.unflatten(structure, leaves))

    closed, form = jax.make_jaxpr(flat, return_shape=True)(*leaves)
    promoted = _promoted(leaves[count:], jax.tree.leaves(form[0]))
    if promoted is not None:
        carry = jax.tree.unflatten(jax.tree.structure(carry), promoted)
        return scan_with_weights(body, weights, carry, length)
    plan = _plan(inlined(closed), len(closed.consts), count, len(leaves) - count, length)
    known = dict(enumerate([*closed.consts, *leaves[:count]]))
    for equation in plan.before:
        known.update(equation.run(known))
    invariants = {number: known[number] for number in plan.invariants}
    outputs = _differentiable(plan)(invariants, leaves[count:], closed.consts)
    carry, remembered = jax.tree.unflatten(jax.tree.structure(form), outputs)
    return carry, remembered


def _promoted(carry: Many, after: Many) -> list[Array] | None:
    """Return the carry with Python's numbers of the dtypes that a step gives, if these differ.

    As `jax.lax.scan` does.
    """
    differ = [
        jax.typeof(old).weak_type and jnp.result_type(old) != new.dtype
        for old, new in zip(carry, after, strict=True)
    ]
    if not any(differ):
        return None
    return [
        jax.lax.convert_element_type(old, new.dtype) if differs else old
        for old, new, differs in zip(carry, after, differ, strict=True)
    ]


class _Product(NamedTuple):
    """A product whose one factor is steady, while the other changes from step to step."""

    equation: Equation
    # The numbers of the two, and the place of the steady one.
    steady: int
    factor: int
    place: int

    def gradient(self, steady: Array, factors: Array, cotangents: Array) -> Array:
        """Return the steady factor's gradient, of the others and the cotangents of all steps."""

        def all_steps(steady: Array) -> Array:
            return jax.vmap(lambda factor: self.of(steady, factor))(factors)

        (gradient,) = jax.linear_transpose(all_steps, steady)(cotangents)
        return jnp.asarray(gradient)

    def of(self, steady: Array, factor: Array) -> Array:
        """Multiply."""
        factors = (factor, steady) if self.place else (steady, factor)
        params = self.equation.eqn.params
        return jnp.asarray(self.equation.eqn.primitive.bind(*factors, **params))

    def no_taps(self, length: int) -> Array:
        """Return what is added to the product of each step so as to be differentiated by."""
        (form,) = self.equation.forms
        return jnp.zeros((length, *form.shape), form.dtype)


class _Plan(NamedTuple):
    """What of a body comes before the loop, and which products have their gradient after it."""

    program: Inlined
    # The program's first arguments; what follows them is carried.
    constants: int
    weights: int
    carried: int
    length: int
    before: list[Equation]
    during: list[Equation]
    # What the loop takes from before it.
    invariants: list[int]
    # By the number of what they write.
    products: dict[int, _Product]

    @property
    def deferred(self) -> set[int]:
        """Matrices that have no gradient but that of such products."""
        others = [one for one in self.during if not set(one.writes) & self.products.keys()]
        used = {atom for atom in self.program.outputs if isinstance(atom, int)}
        used = used.union(*(equation.numbers for equation in others))
        return {one.steady for one in self.products.values()} - used


def _plan(program: Inlined, constants: int, weights: int, carried: int, length: int) -> _Plan:
    steady = set(range(constants, constants + weights))
    fixed = steady | set(range(constants))
    before, during, products = [], [], {}
    for equation in program.equations:
        reads = equation.numbers
        if reads & steady and reads <= fixed and not equation.grows:
            before.append(equation)
            steady.update(equation.writes)
            fixed.update(equation.writes)
            continue
        during.append(equation)
        product = _product(equation, steady)
        if product is not None:
            products[equation.writes[0]] = product
    used = {atom for atom in program.outputs if isinstance(atom, int)}
    used = used.union(*(equation.numbers for equation in during))
    invariants = sorted(steady & used)
    return _Plan(program, constants, weights, carried, length, before, during, invariants, products)


def _product(equation: Equation, steady: set[int]) -> _Product | None:
    """Return an equation as a product whose gradient is better made after the loop, if it is."""
    reads = equation.numbers
    is_product = equation.eqn.primitive in PRODUCTS and len(equation.reads) == len(reads) == 2
    if not is_product or len(reads & steady) != 1:
        return None
    (matrix,), (factor,) = reads & steady, reads - steady
    place = equation.reads.index(matrix)
    by_number = equation.eqn.primitive is not jax.lax.dot_general_p
    if (by_number and place) or not _is_larger(equation, matrix):
        return None
    return _Product(equation, matrix, factor, place)


def _is_larger(equation: Equation, matrix: int) -> bool:
    """Tell whether a gradient to be added up is more than the factors that it can be made of."""
    size = math.prod(equation.read_forms[equation.reads.index(matrix)].shape)
    forms = [*equation.read_forms, *equation.forms]
    factors = sum(math.prod(form.shape) for form in forms) - size
    return bool(size > factors * (1 if size < LARGE else LARGER))


def _differentiable(plan: _Plan) -> Callable[..., list[Any]]:
    """Return the loop as a function of its invariants, its carry and its constants."""

    @jax.custom_vjp
    def loop(invariants: Numbered, carry: Many, constants: Many) -> list[Any]:
        def one(carry: list[Any], x: None) -> tuple[list[Any], list[Any]]:
            del x
            after, given, _ = _step(plan, constants, invariants, carry, {})
            return after, given

        last, remembered = jax.lax.scan(one, list(carry), length=plan.length)
        return [*last, *remembered]

    def forward(*arguments: Any) -> Any:
        invariants, carry, constants = jax.tree.map(
            lambda leaf: leaf.value, arguments, is_leaf=_is_primal
        )
        _check_steady(arguments[2])

        deferred = {number: invariants[number] for number in plan.deferred}
        others = {number: one for number, one in invariants.items() if number not in deferred}

        def step(others: Numbered, carry: Many, taps: Numbered) -> Any:
            return _step(plan, constants, deferred | others, carry, taps)

        taps = {number: one.no_taps(plan.length) for number, one in plan.products.items()}
        scanned = lean_scan(step, others, carry, taps, plan.length)
        matrices = {one.steady: invariants[one.steady] for one in plan.products.values()}
        outputs = [*scanned.carry, *scanned.remembered]
        return outputs, (scanned.backward, scanned.aside, matrices)

    def backward(residuals: Any, cotangents: list[Any]) -> tuple[Any, Any, None]:
        backward, factors, matrices = residuals
        every = [_instance(one) for one in cotangents]
        invariants, carry, taps = backward(every[: plan.carried], every[plan.carried :])
        for number, one in plan.products.items():
            matrix = matrices[one.steady]
            found = one.gradient(matrix, factors[one.factor], taps[number])
            before = invariants.get(one.steady)
            invariants[one.steady] = found if before is None else before + found
        return invariants, carry, None

    loop.defvjp(forward, backward, symbolic_zeros=True)
    return loop


def _is_primal(node: Any) -> bool:
    return isinstance(node, CustomVJPPrimal)


def _check_steady(constants: Many) -> None:
    for constant in constants:
        if constant.perturbed and jnp.issubdtype(jnp.result_type(constant.value), jnp.inexact):
            raise TypeError(
                f"The body closes over an array of shape {np.shape(constant.value)} by which the "
                "loop is to be differentiated, but it has derivatives by weights and carry alone: "
                "make it one of these."
            )


def _instance(cotangent: Any) -> Any:
    """Make an array of a zero; integers have no cotangent but that of a type without size."""
    if not isinstance(cotangent, SymbolicZero):
        return cotangent
    dtype = cotangent.dtype
    if dtype == jax.dtypes.float0:
        return np.zeros(cotangent.shape, dtype)
    return jnp.zeros(cotangent.shape, dtype)


def _step(
    plan: _Plan, constants: Many, invariants: Numbered, carry: Many, taps: Numbered
) -> tuple[list[Any], list[Any], Numbered]:
    """Return the carry, what is remembered, and the factors of tapped products."""
    first = plan.constants + plan.weights
    values = dict(enumerate(constants)) | invariants | dict(enumerate(carry, first))
    factors = {}
    for equation in plan.during:
        number = equation.writes[0] if equation.writes else None
        if number in taps:
            product = plan.products[number]
            factors[product.factor] = values[product.factor]
            weights = jax.lax.stop_gradient(values[product.steady])
            made = product.of(weights, values[product.factor])
            values[number] = _tapped(made, taps[number])
        else:
            values |= equation.run(values)
    outputs = read(plan.program.outputs, values)
    return outputs[: plan.carried], outputs[plan.carried :], factors


@jax.custom_jvp
def _tapped(product: Array, tap: Array) -> Array:
    """Return the product; its cotangent is the tap's, too, which no time is spent to add."""
    del tap
    return product


@_tapped.defjvp
def _tapped_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    return primals[0], tangents[0] + tangents[1]
