"""Quadratics seen in minibatches, and how their minibatches are summed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lopt.problems.minibatch_quadratics import ProjectionQuadratic, SumOfQuadratics
from lopt.problems.outward_snake import OutwardSnake

KEY = jax.random.key(0)
BOTH = (ProjectionQuadratic, SumOfQuadratics)
full_loss = jax.jit(lambda problem, params: problem.loss(params, problem.full_batch(), KEY))
many_batches = jax.jit(lambda problem, keys: jax.vmap(problem.sample_batch)(keys))


def all_samples(problem):
    """Return all samples in float64, the negatives after the others, without padding."""
    pairs = int(problem.sampling.samples.count()) // 2
    half = np.float64(problem.half)[:pairs, : int(problem.size.count())]
    return np.concatenate([half, -half])


def test_a_projection_sums_the_squares_of_params_times_samples(getkey):
    problem = ProjectionQuadratic(dimensions=4, samples=30, batch_size=3, key=getkey())
    params = problem.init(getkey())
    assert params.shape == (1, 4)
    expected = np.sum((np.float64(params) * all_samples(problem)) ** 2)
    np.testing.assert_allclose(full_loss(problem, params), expected, rtol=1e-5)


def test_a_sum_of_quadratics_sums_squared_distances_from_samples(getkey):
    problem = SumOfQuadratics(dimensions=4, samples=30, batch_size=3, key=getkey())
    params, samples = problem.init(getkey()), all_samples(problem)
    assert params.shape == (1, 4)
    expected = np.sum((np.float64(params) - samples) ** 2) - np.sum(samples**2)
    np.testing.assert_allclose(full_loss(problem, params), expected, rtol=1e-5)


@pytest.mark.parametrize("made", BOTH)
def test_samples_are_standard_normal(made, getkey):
    rooms = {"padded_to": 6, "samples_room": 6000}
    problem = made(dimensions=5, samples=4000, **rooms, key=getkey())
    samples = all_samples(problem)
    assert samples.shape == (4000, 5)
    np.testing.assert_allclose(samples.std(axis=0), 1.0, atol=0.1)
    assert (np.asarray(problem.half)[2000:] == 0).all()
    assert (np.asarray(problem.half)[:, 5:] == 0).all()


SUM = SumOfQuadratics(dimensions=5, samples=100, batch_size=7, key=KEY)


@given(st.integers(0, 2**16), st.floats(-15, 3))
def test_a_sum_of_quadratics_over_all_samples_is_not_negative(seed, exponent):
    away = 10.0**exponent * np.random.default_rng(seed).normal(size=(1, 5))
    loss = full_loss(SUM, jnp.asarray(away, jnp.float32))
    np.testing.assert_allclose(loss, 100 * np.sum(away**2), rtol=1e-5)
    assert loss >= 0


def test_a_sum_of_quadratics_over_a_minibatch_can_be_negative():
    # At the mean of the minibatch it is, whenever that is not 0.
    batch = SUM.sample_batch(KEY)
    assert SUM.loss((batch.sums / batch.rows)[None], batch, KEY) < 0


@pytest.mark.parametrize("rooms", [{}, {"padded_to": 4, "samples_room": 14, "batch_room": 9}])
@pytest.mark.parametrize("made", [*BOTH, OutwardSnake])
def test_minibatches_have_their_share_of_all_sums_on_average(made, rooms, getkey):
    problem = made(dimensions=3, samples=10, batch_size=5, **rooms, key=getkey())
    batches = many_batches(problem, jax.random.split(getkey(), 4000))
    assert (batches.rows == 5).all()
    everything = problem.full_batch()
    assert everything.rows == 10
    deviation = np.std(batches.sums, axis=0) / np.sqrt(4000)
    surprise = np.mean(batches.sums, axis=0) - np.asarray(everything.sums) / 2
    assert (deviation[:3] > 0).all()
    assert (np.abs(surprise) <= 5 * deviation + 1e-6).all()


def test_a_minibatch_of_one_is_a_sample(getkey):
    problem = SumOfQuadratics(dimensions=3, samples=6, batch_size=1, key=getkey())
    drawn = np.unique(many_batches(problem, jax.random.split(getkey(), 200)).sums, axis=0)
    np.testing.assert_allclose(drawn, np.unique(all_samples(problem), axis=0), rtol=1e-6)


@pytest.mark.parametrize("rooms", [{}, {"padded_to": 4, "samples_room": 14, "batch_room": 9}])
@pytest.mark.parametrize("made", [*BOTH, OutwardSnake])
def test_a_batch_as_large_as_the_data_is_the_data(made, rooms, getkey):
    problem = made(dimensions=3, samples=6, batch_size=8, **rooms, key=getkey())
    jax.tree.map(
        np.testing.assert_array_equal, problem.sample_batch(getkey()), problem.full_batch()
    )


@pytest.mark.parametrize("made", BOTH)
def test_an_odd_number_of_samples_is_refused(made, getkey):
    with pytest.raises(ValueError, match=r"samples must be an even number, .* but is 7"):
        made(dimensions=3, samples=7, key=getkey())
