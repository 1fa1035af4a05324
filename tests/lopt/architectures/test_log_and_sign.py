"""The inputs of Andrychowicz et al. 2016, appendix A, with p = 10."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lopt.architectures.log_and_sign import log_and_sign

gradients = st.floats(-(2.0**49), 2.0**49, width=32, allow_subnormal=False)


@pytest.mark.parametrize(
    ("gradient", "shown"),
    [
        (1.0, (0.0, 1.0)),
        (-np.e, (0.1, -1.0)),
        (np.exp(-5.0), (-0.5, 1.0)),
        (-0.25 * np.exp(-10.0), (-1.0, -0.25)),
        (0.0, (-1.0, 0.0)),
        (1e15, (3.4538776, 1.0)),
    ],
)
def test_gradients_are_shown_as_the_paper_says(gradient, shown) -> None:
    found = log_and_sign(jnp.asarray([gradient], jnp.float32))[:, 0]
    np.testing.assert_allclose(found, shown, rtol=1e-5, atol=1e-6)


@given(gradient=gradients)
def test_both_cases_are_the_paper_s_formulas(gradient) -> None:
    large = abs(gradient) >= np.exp(-10.0)
    expected = (
        (np.log(abs(gradient)) / 10, np.sign(gradient)) if large else (-1, np.exp(10.0) * gradient)
    )
    found = log_and_sign(jnp.asarray([gradient], jnp.float32))[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@given(gradient=gradients)
def test_turning_the_gradient_round_turns_only_its_sign(gradient) -> None:
    there, back = log_and_sign(jnp.asarray([gradient, -gradient], jnp.float32)).T
    np.testing.assert_array_equal(there, back * jnp.array([1.0, -1.0]))


def test_its_derivative_is_finite_at_zero_too() -> None:
    at = jnp.array([0.0, 1e-30, 4.5e-5, 1.0, 1e15])
    derivative = jax.grad(lambda g: log_and_sign(g).sum())(at)
    assert bool(jnp.isfinite(derivative).all())
    np.testing.assert_allclose(derivative[0], np.exp(10.0), rtol=1e-5)
