"""What estimators give on the average, against derivatives of what they say they estimate.

Everything about an inner training is fixed here but the perturbations and how far along it is, so
that the exact derivative is that of a single trajectory.
"""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

import lopt.meta_gradients
from lopt.architectures import LearningRateSchedule
from lopt.catalogue import concrete_classes
from lopt.ensembles import Group
from lopt.meta_gradients import (
    ESAndBackprop,
    FullES,
    Imitation,
    LogUniformLengths,
    MetaGradient,
    NoiseReuseES,
    PersistentES,
    TruncatedBackprop,
    Unrolling,
)
from lopt.meta_gradients.vectors import vectors
from lopt.problems import Bowl
from lopt.unroll import begin

# One estimate has PROBLEMS problems, and it is made with KEYS keys.
KEYS, PROBLEMS = 400, 48
STEPS = 2
# Smoothing changes the gradient by the square of it relative to curvatures of about 1.
DEVIATION = 0.01
# A norm of which every gradient is too many times as long to be of use.
EVERYTHING_IS_LEFT = 1e-30
# In units of the standard error; a normal number is beyond four of them one time in 16,000.
ERRORS = 4.0


class BowlFromOnePoint(Bowl):
    """A bowl whose trajectories begin at one point."""

    def init(self, key: Array) -> Array:
        return jnp.array([[1.0], [-0.7]])


class RippledBowl(BowlFromOnePoint):
    """Where the loss over all data, not that of minibatches, has tiny and very steep ripples."""

    ripples: Array

    def __init__(self, ripples: float):
        super().__init__(condition_number=4.0, angle=0.5)
        self.ripples = jnp.array(ripples)

    def sample_batch(self, key: Array) -> Array:
        return jnp.array(0.0)

    def full_batch(self) -> Array:
        return self.ripples

    def loss(self, params: Array, batch: Array, key: Array) -> Array:
        return super().loss(params, batch, key) + batch * (1 + jnp.sin(1e5 * params[0, 0]))


@pytest.fixture(scope="module")
def group():
    problem = BowlFromOnePoint(condition_number=4.0, angle=0.5)
    return Group("bowl", jax.tree.map(lambda leaf: leaf[None], problem), jnp.ones(1))


@pytest.fixture(scope="module")
def optimizer():
    schedule = LearningRateSchedule.release(steps=6, key=jax.random.key(0))
    rates = jnp.log(jnp.array([0.1, 0.2, 0.15, 0.3, 0.2, 0.1]))
    return eqx.tree_at(lambda one: one.log_learning_rates, schedule, rates)


class Exact(NamedTuple):
    """Derivatives of the mean meta-loss over the unrolls of a trajectory."""

    full: Array
    truncated: Array


@pytest.fixture(scope="module")
def exact(group, optimizer):
    """By the number of unrolls."""
    meta_params, optimizer_of = vectors(optimizer)
    start = begin(group.entry(0), optimizer, jax.random.key(0))

    def mean_meta_loss(meta_params, unrolls, is_truncated):
        unrolling = Unrolling(steps=STEPS)
        trajectory, losses = start, []
        for _ in range(unrolls):
            if is_truncated:
                params = jax.lax.stop_gradient(trajectory.params)
                trajectory = trajectory._replace(params=params)
            unrolled = unrolling.unroll(optimizer_of(meta_params), trajectory)
            trajectory = unrolled.trajectory
            losses.append(unrolled.meta_loss)
        return sum(losses) / unrolls

    gradient = jax.jit(jax.grad(mean_meta_loss), static_argnums=(1, 2))
    return {
        n: Exact(gradient(meta_params, n, False), gradient(meta_params, n, True)) for n in (1, 3)
    }


class Sample(NamedTuple):
    """One estimate for each key, of trajectories that are anywhere between begin and end."""

    gradients: Array
    variances: Array


@pytest.fixture(scope="module")
def sample(group, optimizer):
    """A function that samples estimates; each estimator is compiled and run once."""
    known = {}

    @eqx.filter_jit
    def run(estimator):
        def one(key):
            def step(state, _):
                estimate = estimator.estimate(optimizer, group, state, jnp.array(0))
                return estimate.state, Sample(estimate.gradient, estimate.variance)

            state = estimator.init(optimizer, group, key)
            # First trajectories are of every length there is: from the third unroll on, places
            # are anywhere in theirs.
            return jax.lax.scan(step, state, None, length=4)[1]

        samples = jax.lax.map(one, jax.random.split(jax.random.key(0), KEYS), batch_size=50)
        return jax.tree.map(lambda leaf: leaf[:, -1], samples)

    def sample(kind, unrolls):
        if (kind, unrolls) not in known:
            lengths = LogUniformLengths(unrolls, unrolls)
            unrolling = Unrolling(steps=STEPS, problems=PROBLEMS, lengths=lengths)
            settings = {"problem_clip_norm": 1e6, "deviation": DEVIATION}
            names = {field.name for field in dataclasses.fields(kind)}
            known[kind, unrolls] = run(
                kind(unrolling, **{name: settings[name] for name in names & set(settings)})
            )
        return known[kind, unrolls]

    return sample


KINDS = [
    (TruncatedBackprop, "truncated"),
    (ESAndBackprop, "truncated"),
    (FullES, "full"),
    (PersistentES, "full"),
    (NoiseReuseES, "full"),
]
# `test_imitation.py` compares its mean with the exact gradient.
ELSEWHERE = {Imitation}
every_kind = pytest.mark.parametrize(
    ("kind", "what"), [pytest.param(*k, id=k[0].__name__) for k in KINDS]
)
# Relative to the gradient: what smoothing changes, of which 0.14 % were seen.
SMOOTHING = 5e-3
# Weights that are taken from the same problems as what they weight go with it: 1.7 % were seen.
MIXING = 5e-2


def standard_error(sample):
    """As a norm, from the variances that were reported."""
    return float(jnp.sqrt(sample.variances.mean() / KEYS))


def distance(sample, expected):
    return float(jnp.linalg.norm(sample.gradients.mean(0) - expected))


def test_the_mean_of_every_estimator_is_compared_with_the_exact_gradient():
    found = set(concrete_classes(lopt.meta_gradients, MetaGradient).values())
    assert found == {kind for kind, _ in KINDS} | ELSEWHERE
    assert len(found) == len(KINDS) + len(ELSEWHERE)


@every_kind
@pytest.mark.parametrize("unrolls", [1, 3])
def test_the_mean_is_the_exact_gradient(kind, what, unrolls, exact, sample, getkey):
    samples, expected = sample(kind, unrolls), getattr(exact[unrolls], what)
    length = float(jnp.linalg.norm(expected))
    bias = length * (MIXING if kind is ESAndBackprop else SMOOTHING)
    assert standard_error(samples) < 0.05 * length
    assert distance(samples, expected) < ERRORS * standard_error(samples) + bias
    directions = jax.random.normal(getkey(), (8, len(expected)))
    directions = directions / jnp.linalg.norm(directions, axis=1, keepdims=True)
    along = np.asarray(samples.gradients @ directions.T)
    errors = along.std(0, ddof=1) / np.sqrt(KEYS)
    difference = np.abs(along.mean(0) - directions @ expected)
    assert (difference < ERRORS * errors + bias).all()


@every_kind
def test_the_gradient_of_short_unrolls_is_another_than_that_of_whole_trajectories(
    kind, what, exact, sample
):
    """Which of the two an estimator gives is seen by more than ten standard errors."""
    samples = sample(kind, 3)
    (other,) = {"full", "truncated"} - {what}
    assert distance(samples, getattr(exact[3], other)) > 10 * standard_error(samples)
    assert distance(samples, getattr(exact[3], what)) < 5 * standard_error(samples)


@every_kind
@pytest.mark.parametrize("unrolls", [1, 3])
def test_the_reported_variance_is_that_over_independent_keys(kind, what, unrolls, sample):
    samples = sample(kind, unrolls)
    seen = float(samples.gradients.var(0, ddof=1).sum())
    reported = float(samples.variances.mean())
    if kind is TruncatedBackprop and unrolls == 1:
        # Nothing is random: what is left is the rounding of a difference of squares.
        gradient = float(jnp.linalg.norm(samples.gradients.mean(0)))
        assert max(seen, reported) < (1e-3 * gradient) ** 2
        return
    # The variance of KEYS normal numbers is known to sqrt(2 / KEYS), 7 %, of which these are three.
    assert 0.79 < reported / seen < 1.21


def test_the_mixture_is_about_as_sure_as_the_surer_of_its_parts(sample):
    """Backpropagation on a smooth problem, evolution strategies on a rough one."""
    smooth, by_backprop = sample(ESAndBackprop, 3), sample(TruncatedBackprop, 3)
    by_es = sample(NoiseReuseES, 3)
    assert 10 * smooth.variances.mean() < by_es.variances.mean()
    assert smooth.variances.mean() < 1.1 * by_backprop.variances.mean()


@eqx.filter_jit
def estimates(estimator, optimizer, group, key, number=1):
    """So many estimates in a row, the first one of trajectories that have just begun."""
    state, made = estimator.init(optimizer, group, key), []
    for _ in range(number):
        made.append(estimator.estimate(optimizer, group, state, jnp.array(0)))
        state = made[-1].state
    return made


def group_of(*problems):
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *problems)
    return Group("bowls", stacked, jnp.ones(len(problems)))


def test_a_mixture_leaves_rough_problems_to_evolution_strategies(exact, optimizer, getkey):
    """What is trained on is smooth, what is scored has ripples too short for backpropagation."""
    group = group_of(RippledBowl(1e-3))
    unrolling = Unrolling(steps=STEPS, problems=1000, lengths=LogUniformLengths(1, 1))
    settings = (ESAndBackprop(unrolling), ESAndBackprop(unrolling, problem_clip_norm=1e9))
    (mixed,), (unclipped,), (by_backprop,) = (
        estimates(estimator, optimizer, group, getkey())
        for estimator in (*settings, TruncatedBackprop(unrolling, 1e9))
    )
    smooth = exact[1].full
    for mixture in (mixed, unclipped):
        error = float(jnp.sqrt(mixture.variance))
        assert error < 0.1 * float(jnp.linalg.norm(smooth))
        assert float(jnp.linalg.norm(mixture.gradient - smooth)) < ERRORS * error
        assert float(jnp.linalg.norm(by_backprop.gradient - smooth)) > 100 * error
    assert mixed.metrics["meta/left_to_es"] > 900


@pytest.mark.parametrize("kind", [TruncatedBackprop, ESAndBackprop])
def test_no_problem_counts_for_more_than_the_norm_it_is_clipped_to(
    kind, group, exact, optimizer, getkey
):
    """All have one gradient here, but for the noise."""
    clip = 0.2 * float(jnp.linalg.norm(exact[1].full))
    unrolling = Unrolling(steps=STEPS, problems=PROBLEMS, lengths=LogUniformLengths(1, 1))
    (clipped,) = estimates(kind(unrolling, problem_clip_norm=clip), optimizer, group, getkey())
    assert clipped.metrics["meta/clipped"] == PROBLEMS
    assert float(jnp.linalg.norm(clipped.gradient)) == pytest.approx(clip, rel=0.01)


@pytest.mark.parametrize("kind", [TruncatedBackprop, ESAndBackprop])
def test_no_clipping_is_clipping_to_a_norm_beyond_all_gradients(kind, group, optimizer, getkey):
    unrolling, key = Unrolling(steps=STEPS, problems=PROBLEMS), getkey()
    (without,), (beyond,) = (
        estimates(kind(unrolling, problem_clip_norm=norm), optimizer, group, key)
        for norm in (np.inf, 1e9)
    )
    assert np.linalg.norm(without.gradient) > 0
    np.testing.assert_array_equal(without.gradient, beyond.gradient)
    np.testing.assert_array_equal(without.variance, beyond.variance)


def test_noise_of_earlier_unrolls_is_not_in_the_difference_of_a_pair(group, optimizer, getkey):
    """After the first unroll nothing moves: whatever the noise is then, it changes nothing."""
    rates = optimizer.log_learning_rates.at[STEPS:].set(-33.0)
    stopping = eqx.tree_at(lambda one: one.log_learning_rates, optimizer, rates)
    unrolling = Unrolling(steps=STEPS, problems=PROBLEMS, lengths=LogUniformLengths(1000, 1000))
    estimator = ESAndBackprop(unrolling, problem_clip_norm=EVERYTHING_IS_LEFT)
    moving, still = estimates(estimator, stopping, group, getkey(), number=2)
    assert moving.gradient.any()
    assert moving.metrics["meta/left_to_es"] == still.metrics["meta/left_to_es"] == PROBLEMS
    np.testing.assert_array_equal(still.gradient, 0.0)
