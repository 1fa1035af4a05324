"""A loop with steady weights is a plain loop, values and derivatives alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lopt.inlining import scan_counts
from lopt.steady_weights import scan_with_weights

KEY = jax.random.key(0)


def linear(weights, carry):
    return jax.tree.map(lambda leaf: 0.9 * leaf, carry), carry["x"].T @ weights["left"]


def both_sides(weights, carry):
    x = jnp.tanh(((weights["left"] @ carry["x"]).T @ weights["right"]).T + weights["bias"][:, None])
    return {"x": x, "count": carry["count"] + 1}, (x * carry["count"]).sum()


def twice_the_same(weights, carry):
    square = weights["left"] @ weights["left"]
    x = jnp.where(carry["count"] > 1, square @ carry["x"], weights["left"] @ carry["x"])
    return {"x": jnp.sin(x), "count": carry["count"] + 1}, x[0]


def inside_calls(weights, carry):
    @jax.jit
    def inner(matrix, x):
        return jax.nn.relu(jnp.clip(matrix.T @ x, -2.0, 2.0))

    x = inner(weights["left"], carry["x"]) + inner(weights["right"], carry["x"])
    return {"x": x - x.mean(), "count": carry["count"] + 1}, None


def random_numbers(weights, carry):
    noise = jax.random.normal(jax.random.fold_in(KEY, carry["count"]), carry["x"].shape)
    x = jnp.concatenate([weights["left"][:2], weights["right"][2:]]) @ (carry["x"] + noise)
    return {"x": jnp.tanh(x), "count": carry["count"] + 1}, x.max()


def carry_is_forgotten(weights, carry):
    return {"x": weights["left"] @ jnp.ones_like(carry["x"]), "count": carry["count"]}, weights[
        "bias"
    ].sum()


def a_product_with_itself_that_grows(weights, carry):
    square = jnp.einsum("i,j->ij", weights["bias"], weights["bias"])
    return {"x": jnp.tanh(square @ carry["x"]), "count": carry["count"] + 1}, square.sum()


def looked_up(weights, carry):
    row = weights["left"][carry["count"] % 4]
    one = jnp.exp(weights["bias"][jnp.minimum(carry["count"], 2)])
    both = weights["right"][jnp.array([0, 2]) + carry["count"] % 2]
    x = jnp.tanh(one * carry["x"] + row[:, None] + both.sum())
    return {"x": x, "count": carry["count"] + 1}, row


BODIES = (
    linear,
    both_sides,
    twice_the_same,
    inside_calls,
    random_numbers,
    carry_is_forgotten,
    a_product_with_itself_that_grows,
    looked_up,
)


def drawn(seed, columns=1):
    keys = jax.random.split(jax.random.key(seed), 4)
    weights = {
        "left": jax.random.normal(keys[0], (4, 4)),
        "right": jax.random.normal(keys[1], (4, 4)),
        "bias": jax.random.normal(keys[2], (4,)),
    }
    return weights, {"x": jax.random.normal(keys[3], (4, columns)), "count": jnp.array(0)}


def plain(body, weights, carry, length):
    return jax.lax.scan(lambda carry, _: body(weights, carry), carry, None, length=length)


def summary(scan, body, length):
    def of(weights, x):
        carry, remembered = scan(body, weights, {"x": x, "count": jnp.array(0)}, length)
        seen = sum(jnp.sum(jnp.cos(leaf)) for leaf in jax.tree.leaves(remembered))
        return jnp.sin(carry["x"]).sum() + 0.3 * seen

    return of


@pytest.mark.parametrize("body", BODIES)
@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 2**31 - 1), columns=st.integers(1, 4), length=st.integers(1, 5))
def test_values_and_derivatives_are_those_of_a_plain_loop(body, seed, columns, length):
    weights, carry = drawn(seed, columns)
    ours = scan_with_weights(body, weights, carry, length)
    theirs = plain(body, weights, carry, length)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), ours, theirs)
    found, expected = (
        jax.value_and_grad(summary(scan, body, length), argnums=(0, 1))(weights, carry["x"])
        for scan in (scan_with_weights, plain)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4 * jnp.abs(b).max()),
        found,
        expected,
    )


@pytest.mark.parametrize("steady", [True, False])
def test_derivatives_are_those_of_a_plain_loop_for_many_problems_at_once(steady):
    weights, _ = drawn(0)
    xs = jax.random.normal(KEY, (3, 4, 1))
    many = weights if steady else jax.tree.map(lambda leaf: jnp.stack([leaf, -leaf, leaf]), weights)

    def derivatives(scan):
        gradient = jax.grad(summary(scan, both_sides, 4))
        return jax.jit(jax.vmap(gradient, in_axes=(None if steady else 0, 0)))(many, xs)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        derivatives(scan_with_weights),
        derivatives(plain),
    )


def test_what_depends_on_weights_alone_is_computed_once():
    weights, carry = drawn(0)
    traced = jax.make_jaxpr(lambda w, c: scan_with_weights(twice_the_same, w, c, 5))(weights, carry)
    (before,) = [eqn for eqn in traced.jaxpr.eqns if eqn.primitive.name == "dot_general"]
    assert before.invars[0] is before.invars[1]


@pytest.mark.parametrize(("columns", "matrices"), [(1, 0), (2, 2), (4, 2), (8, 2)])
def test_only_small_gradients_of_matrices_are_carried_from_step_to_step(columns, matrices):
    weights, carry = drawn(0, columns)

    def carried(scan):
        gradient = jax.grad(summary(scan, both_sides, 5))
        traced = jax.make_jaxpr(gradient)(weights, carry["x"])
        loops = [eqn for eqn in traced.jaxpr.eqns if eqn.primitive.name == "scan"]
        (backward,) = [eqn for eqn in loops if eqn.params["reverse"]]
        first, count = scan_counts(backward)
        variables = backward.invars[first : first + count]
        return [variable.aval.shape for variable in variables].count((4, 4))

    # The cotangent of x is one of four columns, too.
    cotangents = 1 if columns == 4 else 0
    assert carried(scan_with_weights) == matrices + cotangents
    assert carried(plain) == 2 + cotangents


def test_deriving_by_what_the_body_closes_over_is_refused():
    weights, carry = drawn(0)

    def closed(scale):
        def body(weights, carry):
            return {"x": scale * weights["left"] @ carry["x"], "count": carry["count"]}, None

        return scan_with_weights(body, weights, carry, 2)[0]["x"].sum()

    with pytest.raises(TypeError, match="closes over an array of shape"):
        jax.grad(closed)(2.0)


@pytest.mark.parametrize(("columns", "after"), [(2, True), (10, False)])
def test_a_large_matrix_keeps_the_factors_of_its_gradient_only_where_they_are_few(columns, after):
    """40 x 80 numbers, of which ten columns a step are added up in the loop as fast as kept."""
    matrix = jax.random.normal(KEY, (40, 80)) / 9
    x = jax.random.normal(KEY, (40, columns))

    def body(matrix, x):
        return jnp.tanh(matrix @ jnp.concatenate([x, jnp.sin(x)])), None

    def loss(scan, matrix):
        return (scan(body, matrix, x, 3)[0] ** 2).sum()

    gradient = jax.grad(lambda matrix: loss(scan_with_weights, matrix))
    expected = jax.grad(lambda matrix: loss(plain, matrix))(matrix)
    np.testing.assert_allclose(gradient(matrix), expected, rtol=2e-4, atol=1e-5)
    # In the loop, the matrix's gradient goes from step to step.
    scans = [one for one in jax.make_jaxpr(gradient)(matrix).eqns if one.primitive.name == "scan"]
    carried = [form.aval.shape for form in scans[-1].outvars]
    assert ((40, 80) not in carried) == after
