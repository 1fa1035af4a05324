"""A lean loop is a plain loop with its derivative, and keeps less of it."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lopt.lean_scan import lean_scan

KEY = jax.random.key(0)


def gated(fixed, carry, x):
    """A state of which the gates and the candidate are all that has to be kept."""
    h, count = carry
    gate = jax.nn.sigmoid(fixed["left"] @ h + x)
    candidate = jnp.tanh(fixed["right"] @ (gate * h))
    h = gate * h + (1 - gate) * candidate
    return [h, count + 1], (h.sum(), count), gate


def with_random_numbers(fixed, carry, x):
    h, count = carry
    noise = jax.random.normal(jax.random.fold_in(fixed["key"], count), h.shape)
    h = jnp.where(h > fixed["least"], jnp.sin(h) * noise, fixed["left"] @ h) + x
    return [h, count + 1], (jnp.square(h).mean(), h > 0), None


@jax.custom_jvp
def steep(x):
    return x


steep.defjvp(lambda primals, tangents: (primals[0], 3.0 * tangents[0]))


def with_derivatives_of_its_own(fixed, carry, x):
    h, count = carry
    h = steep(jax.jit(lambda matrix, h: matrix.T @ h)(fixed["left"], h)) * x
    return [h, count], (jax.nn.relu(h).sum(), None), {"h": h}


def with_nothing_to_derive(fixed, carry, x):
    return [jnp.ones_like(carry[0]), carry[1] + 1], (fixed["left"][0, 0], x), None


STEPS = (gated, with_random_numbers, with_derivatives_of_its_own, with_nothing_to_derive)


def drawn(seed, length, size=3):
    keys = jax.random.split(jax.random.key(seed), 4)
    fixed = {
        "left": jax.random.normal(keys[0], (size, size)),
        "right": jax.random.normal(keys[1], (size, size)),
        "key": KEY,
        "least": jnp.array(0),
    }
    carry = [jax.random.normal(keys[2], (size, 1)), jnp.array(0)]
    return fixed, carry, jax.random.normal(keys[3], (length, size, 1))


def plain(step, fixed, carry, xs, length):
    def body(carry, x):
        after, remembered, aside = step(fixed, carry, x)
        return after, (remembered, aside)

    after, (remembered, aside) = jax.lax.scan(body, carry, xs, length=length)
    return (after, remembered), aside


def numbers(tree):
    return [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]


@pytest.mark.parametrize("step", STEPS)
@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 2**31 - 1), length=st.integers(1, 4))
def test_values_and_derivatives_are_those_of_a_plain_loop(step, seed, length):
    fixed, carry, xs = drawn(seed, length)
    scanned = lean_scan(step, fixed, carry, xs, length)
    (outputs, backward, aside) = jax.vjp(
        lambda *given: plain(step, *given, length), fixed, carry, xs, has_aux=True
    )
    theirs = (*outputs, aside)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        (scanned.carry, scanned.remembered, scanned.aside),
        theirs,
    )
    cotangents = jax.tree.map(cotangent, outputs)
    expected = backward(cotangents)
    found = scanned.backward(*cotangents)
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, tuple(expected))
    pairs = zip(numbers(found), numbers(expected), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def cotangent(leaf):
    if jnp.issubdtype(leaf.dtype, jnp.inexact):
        return jnp.cos(leaf)
    return np.zeros(leaf.shape, jax.dtypes.float0)


def kept_numbers(traced):
    """Numbers that the loop there writes down, for each of its steps."""
    (loop,) = [eqn for eqn in traced.jaxpr.eqns if eqn.primitive.name == "scan"]
    length = loop.params["length"]
    stacked = [one.aval for one in loop.outvars if one.aval.shape[:1] == (length,)]
    return sum(math.prod(form.shape) for form in stacked) // length


def test_a_gated_state_is_kept_as_gates_and_candidate_and_made_of_these_again():
    size, length = 4, 7
    fixed, carry, xs = drawn(0, length, size)

    def there(scan):
        def run(fixed, carry, xs):
            return scan(fixed, carry, xs)

        return kept_numbers(jax.make_jaxpr(run)(fixed, carry, xs))

    lean = there(lambda *given: lean_scan(gated, *given, length))
    usual = there(lambda *given: jax.vjp(lambda *a: plain(gated, *a, length), *given, has_aux=True))
    # What is remembered and given aside: the sum, the count and the gate; then old state, gate
    # and candidate.
    assert lean <= 2 + size + 3 * size
    assert usual >= 2 + size + 5 * size


def test_the_derivative_passes_through_a_compiled_function():
    fixed, carry, xs = drawn(0, 3)
    scanned = jax.jit(lambda *given: lean_scan(gated, *given, 3))(fixed, carry, xs)
    here = lean_scan(gated, fixed, carry, xs, 3)
    cotangents = (
        [jnp.ones((3, 1)), np.zeros((), jax.dtypes.float0)],
        (jnp.ones(3), np.zeros(3, jax.dtypes.float0)),
    )
    found, expected = (numbers(one.backward(*cotangents)) for one in (scanned, here))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, expected)
