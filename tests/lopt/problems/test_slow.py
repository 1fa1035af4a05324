"""The slow problems: formulas in float64, and losses that rounding does not make negative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lopt.problems.outward_snake import OutwardSnake
from lopt.problems.slow import DependencyChain, MinMaxWell

KEY = jax.random.key(0)
numbers = st.floats(-1e3, 1e3, width=32)
points = st.lists(numbers, min_size=5, max_size=5).map(jnp.float32)


@jax.jit
def loss_and_derivatives(problem, params):
    def loss(params):
        return problem.loss(params, problem.full_batch(), KEY)

    gradient = jax.grad(loss)(params)
    return loss(params), gradient, jax.jacfwd(jax.grad(loss))(params)


def assert_finite(tree):
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


def test_a_chain_divides_every_link_by_the_one_before(getkey):
    problem = DependencyChain(links=6)
    params = problem.init(getkey())
    assert params.shape == (7,)
    point, expected = np.float64(params), 0.0
    for link in range(1, 7):
        expected += point[0] ** 2 + point[link] ** 2 / (point[link - 1] ** 2 + 1e-6)
    np.testing.assert_allclose(problem.loss(params, None, KEY), expected, rtol=1e-5)


@given(points)
@example(jnp.zeros(5, jnp.float32))
def test_a_chain_is_nowhere_negative_and_has_finite_derivatives(params):
    loss, *derivatives = loss_and_derivatives(DependencyChain(links=4), params)
    assert 0 <= loss < jnp.inf
    assert_finite(derivatives)


def test_a_well_is_the_largest_and_the_inverse_of_the_smallest_square(getkey):
    problem = MinMaxWell(dimensions=8)
    params = problem.init(getkey())
    assert params.shape == (8,)
    squares = np.float64(params) ** 2
    expected = squares.max() + 1 / squares.min() - 2
    loss, gradient, _ = loss_and_derivatives(problem, params)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    assert set(np.flatnonzero(gradient)) == {squares.argmin(), squares.argmax()}


@given(points)
@example(jnp.zeros(5, jnp.float32))
@example(jnp.float32([1, 1e-7, 1, 1, 1]))
def test_a_well_is_nowhere_negative_and_has_finite_derivatives(params):
    loss, *derivatives = loss_and_derivatives(MinMaxWell(dimensions=5), params)
    assert 0 <= loss < jnp.inf
    assert_finite(derivatives)


@given(st.integers(0, 2**16), st.floats(-9, -2))
def test_a_well_is_not_negative_near_its_bottom(seed, exponent):
    random = np.random.default_rng(seed)
    away = 1 + 10.0**exponent * random.normal(size=5)
    params = jnp.asarray(random.choice([-1, 1], 5) * away, jnp.float32)
    loss, *derivatives = loss_and_derivatives(MinMaxWell(dimensions=5), params)
    expected = (np.float64(params) ** 2).max() + 1 / (np.float64(params) ** 2).min() - 2
    assert loss >= 0
    np.testing.assert_allclose(loss, expected, atol=3e-7, rtol=1e-4)
    assert_finite(derivatives)


def test_all_ones_are_the_bottom_of_a_well():
    assert MinMaxWell(dimensions=5).loss(jnp.float32([1, -1, 1, 1, -1]), None, KEY) == 0


def test_a_param_of_zero_lifts_a_well_to_1e10():
    loss = MinMaxWell(dimensions=3).loss(jnp.float32([1, 0, 1]), None, KEY)
    np.testing.assert_allclose(loss, 1e10, rtol=1e-6)


def snake(getkey):
    return OutwardSnake(dimensions=5, samples=40, batch_size=7, key=getkey())


def by_hand(bits, params):
    point, expected = np.float64(params), 0.0
    for sample in np.float64(bits):
        expected += sample[0] / (np.linalg.norm(point) + 1e-6)
        for index in range(1, 5):
            valley = np.pi * np.cos(point[index - 1])
            expected += (sample[index] * (point[index] - valley)) ** 2
    return expected


def test_a_snake_is_as_high_as_the_samples_say(getkey):
    problem = snake(getkey)
    params = problem.init(getkey())
    assert params.shape == (5,)
    assert 0.3 < problem.bits.mean() < 0.7
    loss, *_ = loss_and_derivatives(problem, params)
    np.testing.assert_allclose(loss, by_hand(problem.bits, params), rtol=1e-5)


def test_the_floor_of_a_snake_falls_on_the_way_out(getkey):
    problem, losses = snake(getkey), []
    for start in (1.0, 10.0, 100.0):
        params = [start]
        for _ in range(4):
            params.append(float(np.pi * np.cos(np.float32(params[-1]))))
        losses.append(float(loss_and_derivatives(problem, jnp.float32(params))[0]))
    assert losses[0] > losses[1] > losses[2] > 0


SNAKE = OutwardSnake(dimensions=5, samples=40, batch_size=7, key=KEY)


@given(points)
@example(jnp.zeros(5, jnp.float32))
def test_a_snake_is_nowhere_negative_and_has_finite_derivatives(params):
    loss, *derivatives = loss_and_derivatives(SNAKE, params)
    assert 0 <= loss < jnp.inf
    assert_finite(derivatives)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DependencyChain(links=0), "links must be .* at least 1, but is 0"),
        (lambda: MinMaxWell(dimensions=0), "dimensions must be .* at least 1, but is 0"),
        (lambda: OutwardSnake(dimensions=1, key=KEY), "dimensions must be .* least 2, but is 1"),
        (lambda: OutwardSnake(dimensions=2, samples=0, key=KEY), "samples must be .* at least 1"),
    ],
)
def test_sizes_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
