"""The features' functions with derivatives by hand, compiled as they are where they are used."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lopt.architectures import features

EPSILON = float(np.finfo(np.float32).eps)
SMALLEST = float(np.finfo(np.float32).tiny)
finite = st.floats(-(2.0**60), 2.0**60, width=32, allow_subnormal=False)


def compiled(function):
    """The function and its derivative, as the compiler has simplified them."""
    return jax.jit(jax.value_and_grad(function))


ARSINH, TANH = compiled(features.arsinh), compiled(features.tanh)
ROOTS = jax.jit(lambda decay: jax.jvp(lambda one: features.timescales(one, 4), (decay,), (decay,)))
MIXED = jax.jit(jax.value_and_grad(features.mixed, argnums=(0, 1, 2)))


def close(found, expected, digits_lost=4):
    allowed = digits_lost * EPSILON * np.abs(expected) + SMALLEST
    assert np.all(np.abs(np.float64(found) - expected) <= allowed), (found, expected)


@settings(deadline=None, max_examples=300)
@given(x=finite)
def test_arsinh_has_all_digits_of_every_number(x):
    value, slope = ARSINH(jnp.float32(x))
    close(value, np.arcsinh(np.float64(x)))
    close(slope, 1 / np.sqrt(np.float64(x) ** 2 + 1))


@pytest.mark.parametrize("exponent", range(-37, 19))
def test_arsinh_has_all_digits_at_every_power_of_ten(exponent):
    value, _ = ARSINH(jnp.float32(10.0**exponent))
    close(value, np.arcsinh(np.float64(np.float32(10.0**exponent))))


def test_arsinh_keeps_zeros_and_what_is_no_number():
    np.testing.assert_array_equal(
        jax.jit(features.arsinh)(jnp.array([0.0, -0.0, jnp.nan])), [0.0, -0.0, jnp.nan]
    )


@settings(deadline=None, max_examples=100)
@given(x=finite)
def test_tanh_and_its_derivative_are_those_of_the_formula(x):
    value, slope = TANH(jnp.float32(x))
    close(value, np.tanh(np.float64(x)), 16)
    assert abs(float(slope) - (1 - np.tanh(np.float64(x)) ** 2)) <= 4 * EPSILON


@settings(deadline=None, max_examples=100)
@given(decay=st.floats(2.0**-20, 1.0, width=32))
def test_timescales_are_powers_of_a_half_and_so_are_their_derivatives(decay):
    values, slopes = ROOTS(jnp.array([decay], jnp.float32))
    exponents = 0.5 ** np.arange(4)
    expected = np.float64(np.float32(decay)) ** exponents
    close(values[:, 0], expected, 32)
    close(slopes[:, 0], exponents * expected, 64)


def test_a_decay_of_0_has_no_infinite_derivative():
    values, slopes = ROOTS(jnp.zeros(1))
    assert jnp.isfinite(values).all()
    assert not slopes.any()


@settings(deadline=None, max_examples=100)
@given(
    kept=st.floats(0.0, 1.0, width=32),
    old=st.floats(-1e3, 1e3, width=32),
    new=st.floats(-1e3, 1e3, width=32),
)
def test_a_mixture_and_its_derivatives_are_those_of_the_formula(kept, old, new):
    value, slopes = MIXED(jnp.float32(kept), jnp.float32(old), jnp.float32(new))
    kept, old, new = (np.float64(np.float32(one)) for one in (kept, old, new))
    scale = 4 * EPSILON * (abs(old) + abs(new) + 1)
    assert abs(float(value) - (kept * old + (1 - kept) * new)) <= scale
    for found, expected in zip(slopes, (old - new, kept, 1 - kept), strict=True):
        assert abs(float(found) - expected) <= scale
