"""Laws of what estimators do with trajectories, for every class of them."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lopt.meta_gradients
from lopt.architectures import LearnedAdam, LearningRateSchedule
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
from lopt.problems import Bowl

CLASSES = concrete_classes(lopt.meta_gradients, MetaGradient)
# They hold trajectories by the code of the others; each is a program or two to compile.
SLOW = {ESAndBackprop, Imitation, NoiseReuseES}
every_kind = pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.slow if kind in SLOW else ())
        for kind in CLASSES.values()
    ],
    ids=CLASSES,
)
STEPS, PROBLEMS = 3, 8
OPTIMIZER = LearnedAdam.release(key=jax.random.key(0))
# Of more meta-params than are differentiated in forward mode, which keeps nothing of a step.
BACKPROPAGATED = LearningRateSchedule.release(steps=10, key=jax.random.key(0))


@pytest.fixture(scope="module")
def group():
    return group_of(Bowl(condition_number=2.0))


def group_of(*problems):
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *problems)
    return Group("bowls", stacked, jnp.ones(len(problems)))


@jax.jit
def estimate(estimator, group, state, meta_step, optimizer=OPTIMIZER):
    return estimator.estimate(optimizer, group, state, meta_step)


def series(estimator, group, key, count, optimizer=OPTIMIZER):
    """Estimates one after the other."""
    state = estimator.init(optimizer, group, key)
    found = []
    for meta_step in range(count):
        found.append(estimate(estimator, group, state, jnp.array(meta_step), optimizer))
        state = found[-1].state
    return found


@every_kind
def test_what_has_exploded_counts_once_more_and_begins_anew(kind, group, getkey):
    """With so small a factor every loss is too large."""
    unrolling = Unrolling(steps=STEPS, problems=PROBLEMS, lengths=LogUniformLengths(1000, 1000))
    if kind is FullES:
        unrolling = dataclasses.replace(unrolling, lengths=LogUniformLengths(2, 2))
    calm = kind(unrolling)
    explosive = kind(dataclasses.replace(unrolling, explosion_factor=1e-9))
    key = getkey()
    (first, second), (same, anew) = series(calm, group, key, 2), series(explosive, group, key, 2)
    np.testing.assert_array_equal(same.gradient, first.gradient)
    np.testing.assert_array_equal(same.meta_loss, first.meta_loss)
    assert first.metrics["inner/exploded"] == second.metrics["inner/exploded"] == 0
    assert same.metrics["inner/exploded"] == anew.metrics["inner/exploded"] == PROBLEMS
    assert same.metrics["meta/nonfinite"] == anew.metrics["meta/nonfinite"] == 0
    assert anew.metrics["inner/resets"] == PROBLEMS
    # Only whole trajectories begin at each estimate anyway.
    assert second.metrics["inner/resets"] == (PROBLEMS if kind is FullES else 0)


@pytest.mark.parametrize(
    "kind", [TruncatedBackprop, pytest.param(ESAndBackprop, marks=pytest.mark.slow)]
)
def test_what_is_computed_again_gives_the_same_gradient(kind, group, getkey):
    unrolling = Unrolling(steps=STEPS, problems=PROBLEMS)
    again = dataclasses.replace(unrolling, rematerialise=True)
    key = getkey()
    one, other = (
        series(kind(setting), group, key, 2, BACKPROPAGATED)[-1] for setting in (unrolling, again)
    )
    # The same operations, which the compiler may put together in another way.
    np.testing.assert_allclose(one.gradient, other.gradient, rtol=1e-5, atol=1e-7)


def test_what_is_computed_again_takes_less_memory(group):
    """Of an unroll that is long enough for what it keeps to count."""
    key = jax.random.key(0)

    def memory(again):
        estimator = TruncatedBackprop(Unrolling(40, problems=8, rematerialise=again))
        state = estimator.init(BACKPROPAGATED, group, key)
        arguments, fixed = eqx.partition((BACKPROPAGATED, group, state), eqx.is_array)

        def estimate(arguments):
            return estimator.estimate(*eqx.combine(arguments, fixed), jnp.array(0))

        return jax.jit(estimate).lower(arguments).compile().memory_analysis().temp_size_in_bytes

    assert memory(again=True) < memory(again=False) / 1.5


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, id=name) for name, kind in CLASSES.items() if kind is not FullES]
)
def test_trajectories_have_ends_of_their_own(kind, group, getkey):
    """Where all are of one length, they are staggered; each begins anew after its own."""
    unrolls, number = 4, 9
    lengths = LogUniformLengths(unrolls, unrolls)
    estimator = kind(Unrolling(steps=STEPS, problems=PROBLEMS, lengths=lengths))
    places = [one.state.places for one in series(estimator, group, getkey(), number)]
    taken = np.stack([one.trajectories.inner_step for one in places]) // STEPS
    begun = np.stack([one.begun for one in places])
    assert len(set(taken[-1])) > 1
    for place in range(PROBLEMS):
        first_end = int((begun[:, place] == 1).sum())
        assert 1 <= first_end <= unrolls
        expected = [*range(1, first_end + 1), *([*range(1, unrolls + 1)] * number)][:number]
        assert list(taken[:, place]) == expected
        assert begun[-1, place] == 1 + -(-(number - first_end) // unrolls)


def test_whole_trajectories_are_of_one_length_and_counted_in_full(group, getkey):
    lengths = LogUniformLengths(1, 6)
    estimator = FullES(Unrolling(steps=STEPS, problems=PROBLEMS, lengths=lengths))
    taken = [one.metrics["inner/steps"] for one in series(estimator, group, getkey(), 60)]
    assert {float(steps) for steps in taken} == {
        2.0 * PROBLEMS * STEPS * unrolls for unrolls in range(1, 7)
    }


@pytest.mark.parametrize("setting", [{"steps": 0}, {"problems": -1}, {"explosion_factor": 0.0}])
def test_unrolls_of_nothing_are_refused(setting):
    ((name, value),) = setting.items()
    with pytest.raises(ValueError, match=f"{name} is {value}, but must be positive"):
        Unrolling(**setting)


class Kink(Bowl):
    """A bowl whose loss over all data has a value, but a derivative of 0 times infinity."""

    def sample_batch(self, key):
        return jnp.array(1.0)

    def full_batch(self):
        return jnp.array(0.0)

    def loss(self, params, batch, key):
        return super().loss(params, None, key) + jnp.sqrt(jnp.sum(jnp.square(batch * params)))


@pytest.mark.parametrize("clip_norm", [1.0, np.inf])
def test_a_mixture_leaves_what_has_no_derivative_to_evolution_strategies(clip_norm, getkey):
    """They are the first estimate of persistent ones, which draw the same from the same key."""
    group = group_of(Kink(condition_number=2.0))
    unrolling, key = Unrolling(steps=STEPS, problems=PROBLEMS), getkey()
    mixture = ESAndBackprop(unrolling, problem_clip_norm=clip_norm)
    mixed, by_es, by_backprop = (
        series(estimator, group, key, 1)[0]
        for estimator in (mixture, PersistentES(unrolling), TruncatedBackprop(unrolling))
    )
    assert by_backprop.metrics["meta/nonfinite"] == PROBLEMS
    assert mixed.metrics["meta/nonfinite"] == by_es.metrics["meta/nonfinite"] == 0
    assert mixed.metrics["meta/left_to_es"] == PROBLEMS
    assert by_es.gradient.any()
    np.testing.assert_allclose(mixed.gradient, by_es.gradient, rtol=1e-4, atol=1e-6)


class KinkOfSome(Kink):
    """A bowl with such a kink where its angle is 0, and smooth where it is not."""

    def loss(self, params, batch, key):
        square = jnp.sum(jnp.square(batch * params))
        return Bowl.loss(self, params, None, key) + jnp.sqrt(square + self.angle)


@pytest.mark.parametrize("clip_norm", [1.0, np.inf])
def test_a_mixture_of_some_problems_without_a_derivative_is_finite(clip_norm, getkey):
    group = group_of(KinkOfSome(condition_number=2.0), KinkOfSome(condition_number=2.0, angle=1.0))
    unrolling = Unrolling(steps=STEPS, problems=PROBLEMS)
    estimator = ESAndBackprop(unrolling, problem_clip_norm=clip_norm)
    (mixed,) = series(estimator, group, getkey(), 1)
    assert 0 < mixed.metrics["meta/left_to_es"] < PROBLEMS
    assert mixed.gradient.any()
    assert np.isfinite(mixed.gradient).all()
    assert np.isfinite(mixed.variance)


class Pit(Bowl):
    """A bowl into which one step of Adam after the other leads, and where nothing is finite."""

    def init(self, key):
        return jnp.ones((2, 1))

    def loss(self, params, batch, key):
        depth = 1 - params[0, 0]
        # The angle says how deep it is to where the bottom is out.
        return super().loss(params, batch, key) + jnp.where(depth > self.angle, jnp.nan, 0.0)


@every_kind
def test_a_fault_is_named_with_its_entry_and_its_first_inner_step(kind, getkey):
    """Steps of 0.001 make 0.0045 deep in the fifth step, in the second unroll of three."""
    group = group_of(Pit(condition_number=1.0, angle=10.0), Pit(condition_number=1.0, angle=4.5e-3))
    unrolls = 3 if kind is FullES else 1000
    lengths = LogUniformLengths(unrolls, unrolls)
    # A teacher is to make steps of that length, too.
    settings = {"learning_rate": 1e-3} if kind is Imitation else {}
    estimator = kind(Unrolling(steps=STEPS, problems=PROBLEMS, lengths=lengths), **settings)
    first, second = series(estimator, group, getkey(), 2)
    found = first if kind is FullES else second
    if kind is not FullES:
        assert not np.any(first.faults.bad)
    bad = np.asarray(found.faults.entries) == 1
    assert 0 < bad.sum() < PROBLEMS
    np.testing.assert_array_equal(found.faults.bad, bad)
    assert set(np.asarray(found.faults.inner_steps)[bad]) == {5}
    assert found.metrics["meta/nonfinite"] == float(bad.sum())
    assert np.isfinite(found.gradient).all()


class Peak(Bowl):
    """A bowl on whose rim, where trajectories begin, the loss is infinite and the slope is not."""

    def init(self, key):
        return jnp.ones((2, 1))

    def loss(self, params, batch, key):
        is_on_rim = params[0, 0] >= 1
        return super().loss(params, batch, key) + jnp.where(is_on_rim, jnp.inf, 0.0)


@every_kind
def test_an_infinite_beginning_takes_no_part(kind, getkey):
    """Relative to it every loss would be perfect."""
    lengths = LogUniformLengths(1, 1)
    estimator = kind(Unrolling(steps=STEPS, problems=PROBLEMS, lengths=lengths))
    (found,) = series(estimator, group_of(Peak(condition_number=1.0)), getkey(), 1)
    assert np.asarray(found.faults.bad).all()
    assert found.metrics["meta/nonfinite"] == PROBLEMS
    assert not found.gradient.any()
