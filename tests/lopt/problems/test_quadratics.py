"""Quadratics and bowls against NumPy in float64."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lopt.problems import Bowl, Quadratic
from lopt.problems.quadratics import IsotropicQuadratic, Saddle

KEY = jax.random.key(0)
bowl_loss = jax.jit(
    lambda angle, condition_number, params: turned(condition_number, angle).loss(params, None, KEY)
)


def turned(condition_number, angle):
    bowl = Bowl(condition_number=1.0)
    leaves, structure = jax.tree.flatten(bowl)
    assert len(leaves) == 2
    return jax.tree.unflatten(structure, [condition_number, angle])


@pytest.mark.parametrize("dimensions", [1, 20])
def test_a_quadratic_is_half_the_squared_residual(dimensions, getkey):
    problem = Quadratic(dimensions=dimensions, key=getkey())
    params = problem.init(getkey())
    assert params.shape == (dimensions, 1)
    matrix, target, point = (np.float64(leaf) for leaf in (problem.matrix, problem.target, params))
    expected = 0.5 * np.sum((matrix @ point - target) ** 2)
    np.testing.assert_allclose(problem.loss(params, None, getkey()), expected, rtol=1e-5)


def test_a_quadratic_vanishes_at_its_solution(getkey):
    problem = Quadratic(dimensions=4, key=getkey())
    solution = np.linalg.solve(np.float64(problem.matrix), np.float64(problem.target))
    loss = problem.loss(jnp.asarray(solution, jnp.float32), None, getkey())
    np.testing.assert_allclose(loss, 0.0, atol=1e-8)


def test_a_quadratic_without_padding_is_drawn_like_before_there_was_padding(getkey):
    key = getkey()
    problem = Quadratic(dimensions=3, key=key)
    matrix_key, target_key = jax.random.split(key)
    np.testing.assert_array_equal(problem.matrix, jax.random.normal(matrix_key, (3, 3)))
    np.testing.assert_array_equal(problem.target, jax.random.normal(target_key, (3, 1)))
    assert len(jax.tree.leaves(problem)) == 2
    assert problem.valid() is None
    np.testing.assert_array_equal(problem.init(key), jax.random.normal(key, (3, 1)))


def test_first_losses_of_quadratics_have_the_mean_that_theory_gives():
    def first_loss(key):
        draw_key, init_key = jax.random.split(key)
        problem = Quadratic(dimensions=20, key=draw_key)
        return problem.loss(problem.init(init_key), None, init_key)

    losses = jax.vmap(first_loss)(jax.random.split(jax.random.key(0), 2000))
    # n (n + 1) / 2 = 210, with a standard error of about 2 over 2000 draws.
    np.testing.assert_allclose(losses.mean(), 210.0, atol=10.0)


numbers = st.floats(-3, 3, width=32)


@given(numbers, numbers, st.floats(-7, 7, width=32), st.floats(0.125, 50, width=32))
def test_turning_a_bowl_turns_its_params(x, y, angle, condition_number):
    params = jnp.asarray([[x], [y]], jnp.float32)
    loss = bowl_loss(jnp.float32(angle), jnp.float32(condition_number), params)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    along, across = (rotation @ np.array([[x], [y]]))[:, 0]
    expected = 0.5 * (condition_number * along**2 + across**2)
    np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"condition_number": 0.0}, "condition_number must be .* above 0, but is 0.0"),
        ({"condition_number": 1e-60}, "condition_number must be .* above 0, but is 1e-60"),
        ({"condition_number": math.nan}, "condition_number must be .*, but is nan"),
        ({"condition_number": 1.0, "angle": math.inf}, "angle must be .*, but is inf"),
        ({"condition_number": 1e39}, "condition_number must be a finite float32 number"),
    ],
)
def test_a_bowl_that_is_none_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Bowl(**arguments)


def test_a_quadratic_without_dimensions_is_refused(getkey):
    with pytest.raises(ValueError, match=r"dimensions must be .* at least 1, but is 0"):
        Quadratic(dimensions=0, key=getkey())


def test_an_isotropic_quadratic_is_the_squared_length(getkey):
    problem = IsotropicQuadratic(dimensions=5)
    params = problem.init(getkey())
    assert params.shape == (5, 1)
    expected = np.sum(np.float64(params) ** 2)
    np.testing.assert_allclose(problem.loss(params, None, getkey()), expected, rtol=1e-6)


def test_a_saddle_goes_up_along_one_axis_and_down_along_the_other(getkey):
    problem = Saddle()
    assert problem.init(getkey()).shape == (2,)
    losses = [problem.loss(jnp.float32([x, y]), None, KEY) for x, y in ((3, 0), (0, 3), (3, 2))]
    np.testing.assert_allclose(losses, [9.0, -9.0, 5.0])
    assert not problem.nonnegative
