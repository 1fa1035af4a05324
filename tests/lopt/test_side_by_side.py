"""Problems side by side, or with own weights, are problems under `jax.vmap`, whatever they do."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lopt.side_by_side
from lopt.architectures import HierarchicalRNN
from lopt.ensembles import draw_ensemble
from lopt.own_weights import with_own_weights
from lopt.side_by_side import SMALL, for_each_problem, side_by_side
from lopt.unroll import begin, unroll

PROBLEMS = 3
every_way = pytest.mark.parametrize("batched", [side_by_side, with_own_weights])


def products(shared, matrix, x):
    """By a shared matrix from either side, by an own one, along an axis, over two axes."""
    along = jnp.einsum("bij,bj->bi", jnp.stack([matrix, 2 * matrix]), jnp.stack([x, -x]))
    both = jnp.tensordot(matrix, shared, 2)
    return shared @ x, x @ shared, matrix @ shared, matrix @ matrix.T, along, both, x @ x


def shapes(shared, matrix, x):
    padded = jnp.pad(matrix, ((1, 0), (0, 2)))
    pieces = jnp.split(padded, [2], axis=1)
    return pieces, padded.T[::-1, 1:], matrix.reshape(2, -1)[:, ::2], jnp.cumsum(matrix, axis=1)


def numbers(shared, matrix, x):
    chosen = jnp.where(x.sum() > 0, matrix, shared)
    return chosen, jnp.clip(matrix, x.min(), 1.0), jnp.argmax(matrix, axis=0), jnp.isfinite(x)


def by_hand(shared, matrix, x):
    """What only JAX knows how to do for many."""
    solved = jnp.linalg.solve(matrix @ matrix.T + jnp.eye(4), x)
    branch = jax.lax.cond(x[0] > 0, jnp.sin, jnp.cos, x)
    looped = jax.lax.fori_loop(0, 3, lambda step, y: y * shared[0] + step, x)
    return solved, branch, looped, jnp.sort(x), matrix[jnp.argsort(x)], x.at[1].set(0.0)


def random_numbers(shared, matrix, x):
    key = jax.random.fold_in(jax.random.key(0), jnp.abs(100 * x[0]).astype(jnp.int32))
    return jax.random.normal(key, (3,)), jax.random.randint(jax.random.split(key)[0], (2,), 0, 9)


def loops(shared, matrix, x):
    """A carry that becomes the problem's own in the second step, and one that never does."""

    def step(carry, row):
        count, late, own = carry
        return (count + 1, late + own.sum(), jnp.tanh(matrix @ own + row)), (own, count)

    return jax.lax.scan(step, (0, 0.0, x), shared, reverse=True)


def products_in_loops(shared, matrix, x):
    """By what all share, in a loop and on its way back: from either side, along and over axes."""
    many = jnp.stack([shared, shared.T])

    def step(own, _):
        along = jnp.einsum("bij,kbj->kbi", many, jnp.stack([own, -own])[None])
        both = jnp.einsum("bij,ik,j->bk", many, matrix, own)
        both = (along.sum(0) * both).sum(0)
        return jnp.tanh(0.1 * (shared @ own + own @ shared + both)), own

    def loss(shared, x):
        return jnp.square(jax.lax.scan(step, x, length=3)[1]).sum()

    return jax.lax.scan(step, x, length=3), jax.grad(loss, argnums=(0, 1))(shared, x)


def derivatives(shared, matrix, x):
    def loss(shared, x):
        _, outputs = loops(shared, matrix, x)
        return jax.nn.relu(outputs[0]).sum() + jax.nn.logsumexp(shared @ x)

    return jax.value_and_grad(loss, argnums=(0, 1))(shared, x)


def nothing_of_it(shared, matrix, x):
    return shared + 1.0


FUNCTIONS = (
    products,
    shapes,
    numbers,
    by_hand,
    random_numbers,
    loops,
    products_in_loops,
    derivatives,
    nothing_of_it,
)


def drawn(seed):
    keys = jax.random.split(jax.random.key(seed), 3)
    return (
        jax.random.normal(keys[0], (4, 4)),
        jax.random.normal(keys[1], (PROBLEMS, 4, 4)),
        jax.random.normal(keys[2], (PROBLEMS, 4)),
    )


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)


@every_way
@pytest.mark.parametrize("function", FUNCTIONS)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
def test_many_problems_equal_vmap(batched, function, seed):
    arguments = drawn(seed)
    axes = (None, 0, 0)
    found = batched(function, axes)(*arguments)
    assert_same(found, jax.vmap(function, axes)(*arguments))


def products_in(function, *arguments):
    closed = jax.make_jaxpr(side_by_side(function))(*arguments)
    return str(closed.jaxpr).count("dot_general")


@pytest.mark.parametrize(
    ("terms", "dtype", "products"), [(4, "float32", 0), (65, "float32", 1), (4, "bfloat16", 1)]
)
def test_products_of_few_terms_are_sums_but_in_float32_alone(terms, dtype, products):
    matrices = jnp.ones((PROBLEMS, 4, terms), dtype)
    assert products_in(jnp.matmul, matrices, jnp.ones((PROBLEMS, terms), dtype)) == products


def test_what_all_share_is_turned_before_a_loop_and_not_in_it():
    def multiplied(shared, x):
        return jax.lax.scan(lambda own, _: (own @ shared, None), x, length=3)[0]

    arguments = jnp.ones((4, 4)), jnp.ones((PROBLEMS, 4))
    closed = jax.make_jaxpr(side_by_side(multiplied, (None, 0)))(*arguments)
    (loop,) = [equation for equation in closed.eqns if equation.primitive.name == "scan"]
    inside = loop.params["jaxpr"].eqns
    turned = [equation.invars[0] for equation in inside if equation.primitive.name == "transpose"]
    assert not [one for one in turned if one.aval.shape == (4, 4)]
    (product,) = [equation for equation in inside if equation.primitive.name == "dot_general"]
    assert product.params["dimension_numbers"] == (((1,), (0,)), ((), ()))


@pytest.mark.parametrize(("columns", "copies"), [(3, False), (4, True)])
def test_own_weights_are_copies_of_what_is_no_larger_than_what_it_multiplies(columns, copies):
    def back_and_forth(shared, own):
        return shared.T @ (shared @ own)

    arguments = jnp.ones((4, 4)), jnp.ones((PROBLEMS, 4, columns))
    closed = jax.make_jaxpr(with_own_weights(back_and_forth, (None, 0)))(*arguments)
    products = [one for one in closed.eqns if one.primitive.name == "dot_general"]
    along = [one.params["dimension_numbers"][1] for one in products]
    assert along == [((0,), (0,)) if copies else ((), ())] * 2


@every_way
@pytest.mark.slow
def test_an_unroll_and_its_meta_gradient_equal_those_under_vmap(batched):
    optimizer = HierarchicalRNN(hidden_sizes=(3, 2, 2), scales=2, key=jax.random.key(0))
    entry = {"family": "quadratics", "spec": {"problem": "Quadratic", "dimensions": 3}}
    (group,) = draw_ensemble([entry], seed=0).groups()
    problems = jax.vmap(group.entry(0).draw)(jax.random.split(jax.random.key(1), PROBLEMS))

    def meta_loss(scale, problem, key):
        scaled = jax.tree.map(lambda leaf: scale * leaf, optimizer)
        losses = unroll(scaled, begin(problem, scaled, key), 2)[1]
        return jnp.log(losses + 1e-6).mean()

    given = jnp.ones(()), problems, jax.random.split(jax.random.key(2), PROBLEMS)
    axes = (None, 0, 0)
    function = jax.value_and_grad(meta_loss)
    found = jax.jit(batched(function, axes))(*given)
    assert_same(found, jax.jit(jax.vmap(function, axes))(*given))


@pytest.mark.parametrize(
    ("params", "way"), [(SMALL, "side_by_side"), (SMALL + 1, "with_own_weights")]
)
def test_small_problems_lie_side_by_side_and_others_have_own_weights(params, way, monkeypatch):
    used = []
    for name in ("side_by_side", "with_own_weights"):
        monkeypatch.setattr(
            lopt.side_by_side, name, lambda *given, name=name: used.append(name) or jax.vmap(*given)
        )
    assert_same(
        for_each_problem(jnp.sum, jnp.ones((2, params)))(jnp.ones((2, 3))), jnp.full(2, 3.0)
    )
    assert used == [way]


USELESS = """
import jax
import jax.numpy as jnp
from lopt.side_by_side import side_by_side

def chosen(matrix):
    return jax.lax.select(jnp.full((4, 4), True), matrix, matrix @ matrix)

jax.jit(side_by_side(chosen)).lower(jnp.ones((3, 4, 4))).compile()
"""


def test_a_product_that_is_of_no_use_after_all_does_not_end_the_compiler() -> None:
    # In a process of its own: what fails is an abort.
    program = [sys.executable, "-c", USELESS]
    done = subprocess.run(program, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
