"""The laws of problems made of problems."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lopt.problems import (
    Bowl,
    GradientNoise,
    LogObjective,
    Quadratic,
    Rescale,
    SoftmaxRegression,
    SparseGradient,
    Sum,
    TwoDimensional,
    loss_and_gradient,
)
from lopt.problems.bad_initialization import BadInitialization
from lopt.problems.image_mlp import ImageMLP
from lopt.problems.images import striped_images
from lopt.problems.programs import program_digest
from lopt.problems.quadratics import IsotropicQuadratic, Saddle
from lopt.problems.rescale_each import RescaleEach
from tests.lopt.trees import assert_equal

KEY = jax.random.key(0)
QUADRATIC = Quadratic(dimensions=3, key=KEY)
step = jax.jit(loss_and_gradient)


@jax.jit
def hessian(problem, params):
    return jax.hessian(problem.loss)(params, None, KEY)


class FirstParam(Saddle):
    """A problem whose loss can be set to anything."""

    def loss(self, params, batch, key):
        return params[0]


def assert_close(one, other, rtol=1e-4, atol=1e-4):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol, atol), one, other)


@settings(max_examples=25)
@given(st.floats(0.01, 100), st.integers(0, 1000))
def test_a_rescaled_problem_rescales_its_params_and_its_gradient(scale, seed):
    rescaled, key = Rescale(QUADRATIC, scale=scale), jax.random.key(seed)
    inner_params = QUADRATIC.init(key)
    params = rescaled.init(key)
    np.testing.assert_allclose(params, scale * inner_params, rtol=1e-5)
    loss, gradient = step(rescaled, params, key)
    inner_loss, inner_gradient = step(QUADRATIC, inner_params, key)
    np.testing.assert_allclose(loss, inner_loss, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradient * scale, inner_gradient, rtol=1e-3, atol=1e-3)


def test_the_noise_inside_a_rescaled_problem_is_that_of_the_inner_coordinates(getkey):
    key, gradient = getkey(), jnp.ones((1000, 1), jnp.float32)
    rescaled = Rescale(GradientNoise(QUADRATIC, std=2.0), scale=10.0)
    noise = rescaled.perturb_gradient(gradient, key) - gradient
    np.testing.assert_allclose(noise.std(), 0.2, rtol=0.1)


def test_rescaling_twice_is_rescaling_by_the_product(getkey):
    twice, once = Rescale(Rescale(QUADRATIC, scale=4.0), scale=0.5), Rescale(QUADRATIC, scale=2.0)
    key, params = getkey(), once.init(getkey())
    assert_close(step(twice, params, key), step(once, params, key))


@given(st.floats(0, 1e6, width=32), st.floats(0, 1e6, width=32))
def test_the_log_objective_is_monotone_and_not_negative(one, other):
    def logged(loss):
        # Half the square of x is the loss of a bowl along its second axis.
        params = jnp.asarray([[0.0], [np.sqrt(2 * loss)]], jnp.float32)
        bowl = Bowl(condition_number=1.0)
        log_loss = LogObjective(bowl).loss(params, None, KEY)
        return float(bowl.loss(params, None, KEY)), float(log_loss)

    (low, low_log), (high, high_log) = sorted([logged(one), logged(other)])
    assert 0 <= low_log <= high_log
    expected = np.log(np.float64(high) + 1e-6) - np.log(1e-6)
    np.testing.assert_allclose(high_log, expected, rtol=1e-5, atol=1e-6)
    assert (low_log < high_log) or np.isclose(low, high, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("inner_loss", [0.0, 1.0, 1e37, np.inf, -1.0])
def test_a_log_objective_that_is_not_applied_is_the_inner_problem(inner_loss):
    inner, params = FirstParam(), jnp.asarray([inner_loss, 0.0], jnp.float32)
    plain = LogObjective(inner, applied=False)
    assert_equal(step(plain, params, KEY), step(inner, params, KEY))
    np.testing.assert_array_equal(hessian(plain, params), 0.0)


def test_a_log_objective_hides_no_loss_that_is_not_a_number(getkey):
    params = jnp.full((3, 1), jnp.nan, jnp.float32)
    assert jnp.isnan(LogObjective(QUADRATIC).loss(params, None, getkey()))


def test_the_gradient_of_the_logarithm_is_relative(getkey):
    params, key = QUADRATIC.init(getkey()), getkey()
    loss, inner_gradient = step(QUADRATIC, params, key)
    _, gradient = step(LogObjective(QUADRATIC), params, key)
    expected = np.float64(inner_gradient) / (np.float64(loss) + 1e-6)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4)


def test_plain_and_logarithmic_problems_share_one_program():
    plain, logarithmic = LogObjective(QUADRATIC, applied=False), LogObjective(QUADRATIC)
    assert program_digest(plain) == program_digest(logarithmic)


def test_whether_losses_can_be_negative_goes_through_transforms_and_sums():
    rescaled = Rescale(Saddle(), scale=2.0)
    assert not Sum([QUADRATIC, GradientNoise(rescaled, std=1.0)]).nonnegative
    assert not LogObjective(rescaled, applied=False).nonnegative
    assert Sum([QUADRATIC, Rescale(QUADRATIC, scale=2.0)]).nonnegative


def test_a_bad_initialization_is_the_inner_one_times_the_factor_plus_noise(getkey):
    wide, params_key = IsotropicQuadratic(dimensions=5000), getkey()
    # The inner start gets the first of two keys.
    inner_key, _ = jax.random.split(params_key)
    inner_start = wide.init(inner_key)
    as_it_was = BadInitialization(wide).init(params_key)
    np.testing.assert_array_equal(as_it_was, inner_start)
    far = BadInitialization(wide, factor=3.0, shift=0.5).init(params_key)
    noise = np.float64(far) - 3 * np.float64(inner_start)
    np.testing.assert_allclose(noise.std(), 0.5, rtol=0.05)
    np.testing.assert_allclose(np.mean(noise * np.float64(inner_start)), 0, atol=0.04)


def test_a_bad_initialization_leaves_loss_and_gradient_alone(getkey):
    params, key = QUADRATIC.init(getkey()), getkey()
    bad = BadInitialization(QUADRATIC, factor=10.0, shift=2.0)
    assert_equal(step(bad, params, key), step(QUADRATIC, params, key))


@pytest.mark.parametrize("transform", [LogObjective, SparseGradient])
def test_a_transform_begins_where_its_inner_problem_says(transform, getkey):
    inner, key = TwoDimensional(function="Branin"), getkey()
    np.testing.assert_array_equal(transform(inner).init(key), inner.init(key))


@pytest.mark.parametrize("std", [0.0, 0.1, 3.0])
def test_noise_has_the_stated_deviation_and_no_mean(std, getkey):
    gradient = {"a": jnp.full((4000,), 5.0, jnp.float32), "b": jnp.zeros((4000,), jnp.float32)}
    shown = GradientNoise(QUADRATIC, std=std).perturb_gradient(gradient, getkey())
    noise = jax.tree.map(lambda one, other: one - other, shown, gradient)
    for leaf in noise.values():
        np.testing.assert_allclose(leaf.std(), std, rtol=0.05)
        np.testing.assert_allclose(leaf.mean(), 0.0, atol=0.06 * std)
    correlation = jnp.mean(noise["a"] * noise["b"])
    np.testing.assert_allclose(correlation, 0.0, atol=0.06 * std**2)


def test_noise_upon_noise_adds_variances(getkey):
    twice = GradientNoise(GradientNoise(QUADRATIC, std=3.0), std=4.0)
    noise = twice.perturb_gradient(jnp.zeros((8000,), jnp.float32), getkey())
    np.testing.assert_allclose(noise.std(), 5.0, rtol=0.05)


@pytest.mark.parametrize("transform", [GradientNoise, SparseGradient])
def test_what_is_done_to_gradients_leaves_the_loss_alone(transform, getkey):
    amount = {GradientNoise: {"std": 2.0}, SparseGradient: {"probability": 0.9}}[transform]
    params, key = QUADRATIC.init(getkey()), getkey()
    loss = transform(QUADRATIC, **amount).loss(params, None, key)
    np.testing.assert_array_equal(loss, QUADRATIC.loss(params, None, key))


@pytest.mark.parametrize("probability", [0.0, 0.5, 0.99])
def test_a_sparse_gradient_keeps_an_entry_with_the_rest_of_the_probability(probability, getkey):
    gradient = jax.random.normal(getkey(), (20_000,), jnp.float32)
    problem = SparseGradient(QUADRATIC, probability=probability)
    shown = problem.perturb_gradient(gradient, getkey())
    is_kept = shown != 0
    np.testing.assert_array_equal(shown[is_kept], gradient[is_kept])
    # Five standard errors.
    error = 5 * np.sqrt(probability * (1 - probability) / 20_000)
    np.testing.assert_allclose(is_kept.mean(), 1 - probability, atol=error + 1e-7)


def test_inner_noise_comes_before_the_mask(getkey):
    noisy = SparseGradient(GradientNoise(QUADRATIC, std=1.0), probability=0.9)
    shown = noisy.perturb_gradient(jnp.zeros((5000,), jnp.float32), getkey())
    np.testing.assert_allclose((shown != 0).mean(), 0.1, atol=0.03)


def test_the_loss_and_gradient_of_a_sum_are_those_of_its_parts(getkey):
    parts = [QUADRATIC, TwoDimensional(function="Booth"), Bowl(condition_number=5.0)]
    params, key = Sum(parts).init(getkey()), getkey()
    loss, gradient = step(Sum(parts), params, key)
    alone = [step(part, params[index], key) for index, part in enumerate(parts)]
    np.testing.assert_allclose(loss, sum(float(one_loss) for one_loss, _ in alone), rtol=1e-5)
    assert_close(gradient, tuple(one_gradient for _, one_gradient in alone))


def test_every_part_of_a_sum_has_its_own_noise_and_no_other(getkey):
    parts = [GradientNoise(QUADRATIC, std=1.0), QUADRATIC, GradientNoise(QUADRATIC, std=5.0)]
    zeros = jnp.zeros((4000,), jnp.float32)
    first, second, third = Sum(parts).perturb_gradient((zeros, zeros, zeros), getkey())
    np.testing.assert_allclose(first.std(), 1.0, rtol=0.05)
    np.testing.assert_array_equal(second, zeros)
    np.testing.assert_allclose(third.std(), 5.0, rtol=0.05)


def test_a_sum_tells_padding_in_one_of_its_parts():
    padded = Quadratic(dimensions=1, padded_to=3, key=KEY)
    assert Sum([QUADRATIC, QUADRATIC]).valid() is None
    shallow, deep = Sum([QUADRATIC, padded]), Sum([Sum([padded]), Bowl(condition_number=5.0)])
    np.testing.assert_array_equal(shallow.valid()[0], np.ones((3, 1), bool))
    np.testing.assert_array_equal(shallow.valid()[1], [[True], [False], [False]])
    np.testing.assert_array_equal(deep.valid()[0][0], [[True], [False], [False]])
    np.testing.assert_array_equal(deep.valid()[1], np.ones((2, 1), bool))


def test_transforms_keep_padding_where_it_is(getkey):
    padded = Quadratic(dimensions=1, padded_to=3, key=KEY)
    noisy = GradientNoise(BadInitialization(padded, shift=3.0), std=1.0)
    problem = RescaleEach(LogObjective(SparseGradient(noisy, probability=0.1)), key=KEY)
    np.testing.assert_array_equal(problem.valid(), padded.valid())
    params = problem.init(getkey())
    _, gradient = step(problem, params, getkey())
    np.testing.assert_array_equal(params[1:], 0.0)
    np.testing.assert_array_equal(gradient[1:], 0.0)


def test_a_sum_draws_every_part_with_a_key_of_its_own(getkey):
    first, second = Sum([QUADRATIC, QUADRATIC]).draw(getkey()).parts
    assert (first.matrix != second.matrix).all()


def test_drawing_a_transform_draws_what_is_inside_and_keeps_the_rest(getkey):
    key = getkey()
    drawn = SparseGradient(Rescale(QUADRATIC, scale=3.0), probability=0.25).draw(key)
    np.testing.assert_array_equal(drawn.inner.inner.matrix, QUADRATIC.draw(key).matrix)
    assert (float(drawn.probability), float(drawn.inner.scale)) == (0.25, 3.0)


def test_a_transform_shows_the_data_of_its_inner_problem(getkey):
    inner = SoftmaxRegression(features=2, samples=8, batch_size=3, key=getkey())
    key = getkey()
    outer = LogObjective(Rescale(SparseGradient(inner, probability=0.5), scale=2.0))
    assert_close(outer.sample_batch(key), inner.sample_batch(key))
    assert_close(outer.full_batch(), inner.full_batch())


def test_transforms_and_sums_show_the_validation_data_of_what_is_inside(getkey):
    stripes = striped_images(12, (3, 2, 1), classes=3)
    inner = ImageMLP(
        data_set=stripes, hidden=(), samples=8, batch_size=2, validation=3, key=getkey()
    )
    assert inner.validation_batch()[0].shape[0] == 3
    outer = LogObjective(Rescale(inner, scale=2.0))
    assert_close(outer.validation_batch(), inner.validation_batch())
    both = Sum([inner, QUADRATIC]).validation_batch()
    assert_close(both, (inner.validation_batch(), QUADRATIC.full_batch()))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rescale(QUADRATIC, scale=0.0), "scale must be .* above 0, but is 0.0"),
        (lambda: Rescale(QUADRATIC, scale=-1.0), "scale must be .* above 0, but is -1.0"),
        (lambda: GradientNoise(QUADRATIC, std=-0.5), "std must be .* at least 0, but is -0.5"),
        (lambda: SparseGradient(QUADRATIC, probability=1.0), "at least 0 and below 1, but is 1.0"),
        (lambda: SparseGradient(QUADRATIC, probability=-0.1), "at least 0 and below 1, but is -0"),
        (lambda: Sum([]), "at least one part"),
        (lambda: LogObjective(Rescale(Saddle(), scale=2.0)), "loss of Saddle can be below 0"),
        (lambda: BadInitialization(QUADRATIC, factor=-1.0), "factor must be .* least 0, but is -1"),
        (lambda: BadInitialization(QUADRATIC, shift=-1.0), "shift must be .* least 0, but is -1.0"),
    ],
)
def test_amounts_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
