"""Norms of residuals against NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lopt.problems.norms import Norm
from tests.lopt.problems.derivatives import loss_and_derivatives

KEY = jax.random.key(0)


def of_order(order):
    return Norm(dimensions=6, order=order, key=KEY)


def by_hand(problem, params, order):
    residual = np.float64(problem.matrix) @ np.float64(params) - np.float64(problem.target)
    return np.sum((np.abs(residual) + 1e-6) ** order) ** (1 / order)


@pytest.mark.parametrize("order", [1.0, 1.5, 2.0, 2.5, 3.0])
def test_the_loss_is_the_norm_of_the_residual(order, getkey):
    problem = of_order(order)
    params = problem.init(getkey())
    assert params.shape == (6, 1)
    loss, gradient, _ = loss_and_derivatives(problem, params)
    np.testing.assert_allclose(loss, by_hand(problem, params, order), rtol=1e-5)
    for index in range(6):
        there, back = np.float64(params), np.float64(params)
        there[index] += 1e-6
        back[index] -= 1e-6
        slope = (by_hand(problem, there, order) - by_hand(problem, back, order)) / 2e-6
        np.testing.assert_allclose(gradient[index, 0], slope, rtol=1e-3, atol=1e-3)


@given(st.floats(1, 3, width=32), st.integers(0, 2**16), st.floats(-8, 8))
def test_a_norm_and_its_derivatives_are_finite_near_the_minimum_and_far_away(order, seed, exponent):
    problem = of_order(order)
    solution = np.linalg.solve(np.float64(problem.matrix), np.float64(problem.target))
    away = 10.0**exponent * np.random.default_rng(seed).normal(size=(6, 1))
    loss, *derivatives = loss_and_derivatives(problem, jnp.asarray(solution + away, jnp.float32))
    assert 0 < loss < jnp.inf
    assert all(jnp.isfinite(one).all() for one in derivatives)


def test_a_large_power_of_a_large_residual_does_not_overflow():
    problem = of_order(3.0)
    params = 1e20 * jnp.ones((6, 1), jnp.float32)
    loss, gradient, _ = loss_and_derivatives(problem, params)
    np.testing.assert_allclose(loss, by_hand(problem, params, 3.0), rtol=1e-5)
    assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("order", [0.5, 0.0, -1.0])
def test_an_order_below_one_is_refused(order, getkey):
    with pytest.raises(ValueError, match=f"order must be .* at least 1, but is {order}"):
        Norm(dimensions=3, order=order, key=getkey())
