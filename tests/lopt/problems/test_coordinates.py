"""The laws of problems in other coordinates."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lopt.problems import (
    Bowl,
    GradientNoise,
    Quadratic,
    Rescale,
    SoftmaxRegression,
    Sum,
    TwoDimensional,
    loss_and_gradient,
)
from lopt.problems.rescale_each import RescaleEach
from lopt.problems.rotation import RandomRotation, random_rotation

KEY = jax.random.key(0)
QUADRATIC = Quadratic(dimensions=3, key=KEY)
PARTS = Sum([QUADRATIC, TwoDimensional(function="Booth")])
step = jax.jit(loss_and_gradient)


def assert_close(one, other, rtol=1e-4, atol=1e-4):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol, atol), one, other)


@settings(max_examples=20)
@given(st.floats(0.01, 1.0), st.floats(1.0, 100.0), st.integers(0, 1000))
def test_rescaling_each_param_rescales_its_start_and_its_gradient(low, high, seed):
    key = jax.random.key(seed)
    problem = RescaleEach(PARTS, low=low, high=high, key=key)
    inner_params, params = PARTS.init(key), problem.init(key)
    assert_close(params, jax.tree.map(operator.mul, inner_params, problem.scales), 1e-5, 0)
    inner_loss, inner_gradient = step(PARTS, inner_params, key)
    loss, gradient = step(problem, params, key)
    np.testing.assert_allclose(loss, inner_loss, rtol=1e-4)
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(inner_gradient))
    found = jax.tree.map(operator.mul, gradient, problem.scales)
    assert_close(found, inner_gradient, 1e-4, 1e-5 * largest)


def test_equal_scales_for_all_are_one_scale(getkey):
    key, step_key = getkey(), getkey()
    each = RescaleEach(QUADRATIC, low=0.7, high=0.7, key=key)
    once = Rescale(QUADRATIC, scale=0.7)
    params = once.init(key)
    assert_close(each.init(key), params, 1e-6, 0)
    assert_close(step(each, params, step_key), step(once, params, step_key))


def test_scales_are_log_uniform_within_their_bounds(getkey):
    scales = RescaleEach(Quadratic(dimensions=2000, key=KEY), low=0.1, high=1000.0, key=getkey())
    logs = np.log10(np.float64(scales.scales))
    assert logs.min() >= -1 - 1e-6
    assert logs.max() <= 3 + 1e-6
    counts, _ = np.histogram(logs, bins=4, range=(-1, 3))
    # Five standard errors of a binomial count.
    np.testing.assert_allclose(counts, 500, atol=5 * np.sqrt(2000 * 0.25 * 0.75))


@pytest.mark.parametrize(
    "problem",
    [RescaleEach(PARTS, key=KEY), RandomRotation(PARTS, key=KEY)],
    ids=["RescaleEach", "RandomRotation"],
)
def test_drawing_other_coordinates_draws_them_and_the_inner_problem_anew(problem, getkey):
    first, second = problem.draw(getkey()), problem.draw(getkey())
    constants = [p.scales if isinstance(p, RescaleEach) else p.rotations for p in (first, second)]
    leaves = zip(*map(jax.tree.leaves, constants), strict=True)
    assert all((one != other).any() for one, other in leaves)
    assert (first.inner.parts[0].matrix != second.inner.parts[0].matrix).any()


@pytest.mark.parametrize("dimensions", [1, 2, 3, 20])
def test_a_rotation_is_orthogonal_and_turns_nothing_inside_out(dimensions, getkey):
    for _ in range(4):
        rotation = np.float64(random_rotation(getkey(), dimensions))
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(dimensions), atol=1e-5)
        np.testing.assert_allclose(np.linalg.det(rotation), 1.0, atol=1e-5)


def test_rotations_are_uniform(getkey):
    keys = jax.random.split(getkey(), 4000)
    planar = np.float64(jax.vmap(lambda key: random_rotation(key, 2))(keys))
    angles = np.arctan2(planar[:, 1, 0], planar[:, 0, 0])
    counts, _ = np.histogram(angles, bins=8, range=(-np.pi, np.pi))
    np.testing.assert_allclose(counts, 500, atol=5 * np.sqrt(4000 / 8 * 7 / 8))
    # The trace of a uniform rotation of space has mean 0 and mean square 1.
    spatial = np.float64(jax.vmap(lambda key: random_rotation(key, 3))(keys))
    traces = np.trace(spatial, axis1=1, axis2=2)
    np.testing.assert_allclose([traces.mean(), np.mean(traces**2)], [0, 1], atol=0.12)


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_a_rotation_keeps_losses_and_the_length_of_every_gradient(seed):
    key = jax.random.key(seed)
    rotated = RandomRotation(PARTS, key=key)
    inner_params, params = PARTS.init(key), rotated.init(key)
    assert_close(rotated.to_inner(params), inner_params, 1e-5, 1e-5)
    inner_loss, inner_gradient = step(PARTS, inner_params, key)
    loss, gradient = step(rotated, params, key)
    np.testing.assert_allclose(loss, inner_loss, rtol=1e-4)
    for one, other in zip(gradient, inner_gradient, strict=True):
        np.testing.assert_allclose(jnp.linalg.norm(one), jnp.linalg.norm(other), rtol=1e-4)


def test_a_turned_bowl_is_a_bowl_with_another_angle(getkey):
    bowl = Bowl(condition_number=5.0)
    rotated = RandomRotation(bowl, key=getkey())
    # A bowl turns its params by the angle, counter-clockwise, before it looks at them.
    turned = float(jnp.arctan2(rotated.rotations[1, 0], rotated.rotations[0, 0]))
    params, key = rotated.init(getkey()), getkey()
    expected = step(Bowl(condition_number=5.0, angle=turned), params, key)
    assert_close(step(rotated, params, key), expected, 1e-5, 1e-5)


def test_every_tensor_has_a_rotation_of_its_own(getkey):
    regression = SoftmaxRegression(features=3, samples=4, batch_size=4, key=getkey())
    ((weights, bias),) = RandomRotation(regression, key=getkey()).rotations
    assert (weights.shape, bias.shape) == ((6, 6), (2, 2))
    first, second = RandomRotation(Sum([QUADRATIC, QUADRATIC]), key=getkey()).rotations
    assert (first != second).any()


def test_what_an_inner_problem_does_to_gradients_happens_in_its_coordinates(getkey):
    key = getkey()
    gradient = QUADRATIC.init(getkey())
    noisy = GradientNoise(QUADRATIC, std=1.0)
    rotated = RandomRotation(noisy, key=getkey())
    rotation = np.float64(rotated.rotations)
    inner_gradient = jnp.asarray(rotation @ np.float64(gradient), jnp.float32)
    expected = rotation.T @ np.float64(noisy.perturb_gradient(inner_gradient, key))
    np.testing.assert_allclose(rotated.perturb_gradient(gradient, key), expected, atol=1e-5)
    rescaled = RescaleEach(noisy, key=getkey())
    scales = np.float64(rescaled.scales)
    inner_gradient = jnp.asarray(scales * np.float64(gradient), jnp.float32)
    expected = np.float64(noisy.perturb_gradient(inner_gradient, key)) / scales
    np.testing.assert_allclose(rescaled.perturb_gradient(gradient, key), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RescaleEach(QUADRATIC, low=0.0, key=KEY), "low must be .* above 0, but is 0.0"),
        (
            lambda: RescaleEach(QUADRATIC, low=2.0, high=1.0, key=KEY),
            "high must be .* at least 2, but is 1.0",
        ),
        (
            lambda: RandomRotation(Quadratic(dimensions=2049, key=KEY), key=KEY),
            "A tensor of Quadratic has 2049 scalars, .* at most 2048",
        ),
        (
            lambda: RandomRotation(Quadratic(dimensions=3, padded_to=5, key=KEY), key=KEY),
            "Quadratic has padding, which a rotation would mix",
        ),
    ],
)
def test_coordinates_that_there_are_not_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
