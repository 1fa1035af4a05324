"""Which noise an unroll has, and which weighs its meta-loss: what sets two estimators apart.

Vicol et al. 2021 (https://arxiv.org/abs/2112.13835) draw it anew for every unroll and weigh by its
sum since the trajectory began; Li et al. 2023 (https://arxiv.org/abs/2304.12180) keep that of a
trajectory, and weigh by it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lopt.architectures import LearnedOptimizer
from lopt.ensembles import Group
from lopt.meta_gradients import LogUniformLengths, NoiseReuseES, PersistentES, Unrolling
from lopt.problems import Bowl

UNROLLS, ESTIMATES, PROBLEMS = 3, 9, 5
DEVIATION = 0.1


class Walk(LearnedOptimizer):
    """It adds its meta-params to the params, so that where a pair is tells of its noise."""

    stride: jax.Array

    @classmethod
    def examples(cls):
        return (cls(jnp.array([[-0.1], [0.05]])),)

    def transformation(self, initial_learning_rate=0.0):
        def update(updates, state, params=None, **more):
            return self.stride, state

        return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


class BowlFromOnePoint(Bowl):
    """A bowl whose trajectories begin at one point."""

    def init(self, key):
        return jnp.array([[1.0], [-0.7]])


BOWL = BowlFromOnePoint(condition_number=4.0, angle=0.5)


class Seen(NamedTuple):
    """By estimate and problem, seen from the params of the pairs and the gradients alone."""

    begun: np.ndarray
    # What the unroll was perturbed by, and the sum since the trajectory began.
    noise: np.ndarray
    total: np.ndarray
    # Half of the difference within the pair.
    slopes: np.ndarray
    gradients: np.ndarray


def seen(kind, key):
    lengths = LogUniformLengths(UNROLLS, UNROLLS)
    estimator = kind(Unrolling(steps=1, problems=PROBLEMS, lengths=lengths), DEVIATION)
    group = Group("bowl", jax.tree.map(lambda leaf: leaf[None], BOWL), jnp.ones(1))
    (walk,) = Walk.examples()

    @jax.jit
    def estimates(key):
        def step(state, _):
            found = estimator.estimate(walk, group, state, jnp.array(0))
            trajectories = found.state.places.trajectories
            losses = jax.vmap(jax.vmap(lambda params: BOWL.loss(params, None, key)))
            score = estimator.unrolling.objective.of
            meta_losses = jax.vmap(score)(losses(trajectories.params), trajectories.initial_loss)
            return found.state, (trajectories, meta_losses, found.gradient)

        return jax.lax.scan(step, estimator.init(walk, group, key), length=ESTIMATES)[1]

    trajectories, meta_losses, gradients = estimates(key)
    begun = np.asarray(trajectories.inner_step) == 1
    total = np.asarray(trajectories.params[:, :, 0, :, 0] - trajectories.params[:, :, 1, :, 0]) / 2
    before = np.where(begun[1:, :, None], 0.0, total[:-1])
    noise = np.concatenate([total[:1], total[1:] - before])
    slopes = np.asarray(meta_losses[..., 0] - meta_losses[..., 1]) / 2
    return Seen(begun, noise, total, slopes, np.asarray(gradients))


def weighs_by(directions, found):
    """Whether the gradients are the mean over problems of slopes along these directions."""
    expected = np.einsum("ep,epm->em", found.slopes, directions) / DEVIATION**2 / PROBLEMS
    return np.allclose(found.gradients, expected, rtol=1e-3, atol=1e-3)


def are_same(one, other):
    """Up to the rounding of params of about 1."""
    return np.abs(one - other).max(-1) < 1e-4 * DEVIATION


def distinct(noise):
    every = noise.reshape(-1, noise.shape[-1])
    return len(set(are_same(every[:, None], every).argmax(1)))


@pytest.fixture(scope="module")
def persistent():
    return seen(PersistentES, jax.random.key(0))


@pytest.fixture(scope="module")
def reusing():
    return seen(NoiseReuseES, jax.random.key(0))


def test_persistent_es_draws_noise_anew_at_every_unroll(persistent):
    assert distinct(persistent.noise) == ESTIMATES * PROBLEMS


def test_persistent_es_weighs_by_the_noise_of_all_unrolls_since_the_trajectory_began(persistent):
    assert weighs_by(persistent.total, persistent)
    assert not weighs_by(persistent.noise, persistent)


def test_persistent_es_forgets_its_sum_where_a_trajectory_begins_anew(persistent):
    """Everywhere at another time, so that a sum which all forget at once would be found."""
    anew = persistent.begun[1:]
    assert anew.any(0).all()
    assert not anew.all(1).any()
    assert are_same(persistent.total, persistent.noise)[persistent.begun].all()
    assert weighs_by(persistent.total, persistent)
    assert not weighs_by(persistent.noise.cumsum(0), persistent)


def test_noise_reuse_es_draws_noise_anew_where_a_trajectory_begins_and_nowhere_else(reusing):
    anew = reusing.begun[1:]
    assert anew.any(0).all()
    assert not anew.all(1).any()
    np.testing.assert_array_equal(are_same(reusing.noise[1:], reusing.noise[:-1]), ~anew)
    assert distinct(reusing.noise) == reusing.begun.sum()


def test_noise_reuse_es_weighs_by_its_noise_once_however_many_unrolls_had_it(reusing):
    assert weighs_by(reusing.noise, reusing)
    assert not weighs_by(reusing.total, reusing)
