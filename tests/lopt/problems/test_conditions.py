"""The laws of the transform that an ensemble's problems stand under."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.problems import (
    Bowl,
    GradientNoise,
    LogObjective,
    Quadratic,
    Rescale,
    SoftmaxRegression,
    SparseGradient,
    TwoDimensional,
    build,
    loss_and_gradient,
)
from lopt.problems.conditions import Conditions
from lopt.problems.programs import program_digest
from lopt.problems.quadratics import Saddle
from tests.lopt.loops import OF_ONE_KIND
from tests.lopt.trees import assert_equal

KEY = jax.random.key(0)
QUADRATIC = Quadratic(dimensions=5, key=KEY)
step = jax.jit(loss_and_gradient, compiler_options=OF_ONE_KIND)


@pytest.mark.parametrize(
    "inner",
    [
        QUADRATIC,
        TwoDimensional(function="Rosenbrock"),
        SoftmaxRegression(features=2, samples=8, batch_size=3, key=KEY),
        Saddle(),
    ],
    ids=lambda inner: type(inner).__name__,
)
def test_no_conditions_are_the_inner_problem_to_the_last_bit(inner, getkey):
    neutral, key = Conditions(inner), getkey()
    params = neutral.init(key)
    assert_equal(params, inner.init(key))
    for _ in range(3):
        key = getkey()
        assert_equal(step(neutral, params, key), step(inner, params, key))
        assert_equal(neutral.full_batch(), inner.full_batch())


@pytest.mark.parametrize("scale", [0.01, 350.0])
def test_the_scale_is_that_of_rescale(scale, getkey):
    key, step_key = getkey(), getkey()
    conditions, alone = Conditions(QUADRATIC, scale=scale), Rescale(QUADRATIC, scale=scale)
    params = conditions.init(key)
    assert_equal(params, alone.init(key))
    assert_equal(step(conditions, params, step_key), step(alone, params, step_key))


def test_the_logarithm_is_that_of_log_objective(getkey):
    key, params = getkey(), QUADRATIC.init(getkey())
    conditions, alone = Conditions(QUADRATIC, logarithm=True), LogObjective(QUADRATIC)
    assert_equal(step(conditions, params, key), step(alone, params, key))


def test_the_noise_is_that_of_gradient_noise(getkey):
    gradient, key = QUADRATIC.init(getkey()), getkey()
    shown = Conditions(QUADRATIC, noise=0.5).perturb_gradient(gradient, key)
    # What is inside sparse gradients gets the first of two keys.
    inner_key, _ = jax.random.split(key)
    alone = GradientNoise(QUADRATIC, std=0.5).perturb_gradient(gradient, inner_key)
    assert_equal(shown, alone)


def test_the_zeroes_are_those_of_sparse_gradients(getkey):
    gradient, key = QUADRATIC.init(getkey()), getkey()
    shown = Conditions(QUADRATIC, zeroed=0.5).perturb_gradient(gradient, key)
    alone = SparseGradient(QUADRATIC, probability=0.5).perturb_gradient(gradient, key)
    assert_equal(shown, alone)
    assert (shown == 0).any()


def test_the_noise_has_its_deviation_in_the_coordinates_that_the_optimizer_sees(getkey):
    noisy = Conditions(QUADRATIC, scale=100.0, logarithm=True, noise=2.0)
    shown = noisy.perturb_gradient(jnp.zeros((8000,), jnp.float32), getkey())
    np.testing.assert_allclose(shown.std(), 2.0, rtol=0.05)


def test_the_logarithm_is_of_the_rescaled_problem(getkey):
    params, key = QUADRATIC.init(getkey()), getkey()
    both = Conditions(QUADRATIC, scale=10.0, logarithm=True)
    inner = np.float64(QUADRATIC.loss(params / 10, None, key))
    np.testing.assert_allclose(both.loss(params, None, key), np.log1p(inner / 1e-6), rtol=1e-5)


def test_one_problem_under_any_conditions_is_one_program():
    bare = {"problem": "Conditions", "of": {"problem": "Bowl", "condition_number": 5.0}}
    conditions = [
        {},
        {"scale": 7.0},
        {"logarithm": True},
        {"noise": 1.0},
        {"zeroed": 0.99},
        {"scale": 0.1, "logarithm": True, "noise": 0.1, "zeroed": 0.5},
    ]
    problems = [build({**bare, **condition}, KEY) for condition in conditions]
    assert len(set(map(program_digest, problems))) == 1


def test_padding_stays_padding_under_all_conditions(getkey):
    padded = Conditions(
        Quadratic(dimensions=3, padded_to=5, key=KEY), scale=2.0, logarithm=True, noise=1.0
    )
    params = padded.init(getkey())
    _, gradient = step(padded, params, getkey())
    assert (gradient[:3] != 0).all()
    np.testing.assert_array_equal(gradient[3:], 0.0)
    np.testing.assert_array_equal(params[3:], 0.0)


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"scale": 0.0}, "scale must be .* above 0, but is 0.0"),
        ({"noise": -1.0}, "std must be .* at least 0, but is -1.0"),
        ({"zeroed": 1.0}, "probability must be .* below 1, but is 1.0"),
    ],
)
def test_conditions_out_of_range_are_refused(conditions, message):
    with pytest.raises(ValueError, match=message):
        Conditions(Bowl(condition_number=5.0), **conditions)
