"""Laws of imitating a teacher beside another estimator."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lopt.architectures import LearnedAdam, LearningRateSchedule
from lopt.architectures.base import ParamsOffset
from lopt.ensembles import Group, draw_ensemble
from lopt.meta_gradients import (
    FullES,
    Imitation,
    LogUniformLengths,
    PersistentES,
    TruncatedBackprop,
    Unrolling,
)
from lopt.meta_gradients.teachers import (
    TEACHERS,
    LikeTheTeacher,
    Taught,
    TaughtState,
    relative_distance,
)
from lopt.meta_gradients.vectors import vectors
from lopt.meta_training import MetaTraining, init_meta_state, meta_train
from lopt.problems import Bowl, Quadratic
from lopt.unroll import begin
from tests.lopt.loops import OF_ONE_KIND

STEPS, PROBLEMS = 3, 8
OPTIMIZER = LearnedAdam.release(key=jax.random.key(0))
WITHOUT_END = LogUniformLengths(1000, 1000)


class BowlFromOnePoint(Bowl):
    """A bowl whose trajectories begin at one point."""

    def init(self, key):
        return jnp.array([[1.0], [-0.7]])


BOWL = BowlFromOnePoint(condition_number=4.0, angle=0.5)


def group_of(*problems):
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *problems)
    return Group("bowls", stacked, jnp.ones(len(problems)))


@pytest.fixture(scope="module")
def quadratics():
    entry = {"family": "quadratics", "count": 2, "spec": {"problem": "Quadratic", "dimensions": 3}}
    return draw_ensemble([entry], seed=0).groups()[0]


@eqx.filter_jit(compiler_options=OF_ONE_KIND)
def estimate(estimator, optimizer, group, state):
    return estimator.estimate(optimizer, group, state, jnp.array(0))


def series(estimator, group, key, count, optimizer=OPTIMIZER):
    """Estimates one after the other."""
    state = estimator.init(optimizer, group, key)
    found = []
    for _ in range(count):
        found.append(estimate(estimator, optimizer, group, state))
        state = found[-1].state
    return found


def arrays_of(tree):
    return [
        np.asarray(jax.random.key_data(leaf))
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        else np.asarray(leaf)
        for leaf in jax.tree.leaves(tree)
    ]


# Adam's trajectory is found as theirs are.
SLOW_TEACHERS = {"sgd", "momentum", "rmsprop"}

# Each is two programs to compile.
some_kinds = pytest.mark.parametrize(
    "kind",
    [TruncatedBackprop, *(pytest.param(k, marks=pytest.mark.slow) for k in (PersistentES, FullES))],
)


@some_kinds
def test_a_weight_of_0_equals_the_other_estimator_bit_for_bit(kind, quadratics, getkey):
    """However often trajectories begin anew, and whatever the other one draws."""
    unrolling = Unrolling(steps=STEPS, problems=PROBLEMS, lengths=LogUniformLengths(1, 3))
    alone, key = kind(unrolling), getkey()
    beside = Imitation(unrolling, alone, weight=0.0)
    pairs = zip(*(series(one, quadratics, key, 4) for one in (alone, beside)), strict=True)
    for one, whole in pairs:
        assert not np.asarray(whole.faults.beside).any()
        other = whole._replace(faults=whole.faults._replace(beside=None))
        for name in ("gradient", "meta_loss", "variance", "faults"):
            found = arrays_of(getattr(one, name)), arrays_of(getattr(other, name))
            jax.tree.map(np.testing.assert_array_equal, *found)
        assert jnp.isfinite(other.means["imitation/loss"])
        found = arrays_of(one.state), arrays_of(other.state.estimator)
        jax.tree.map(np.testing.assert_array_equal, *found)
        jax.tree.map(
            np.testing.assert_array_equal, *map(arrays_of, (one.state.key, other.state.key))
        )


@pytest.mark.slow
def test_the_gradient_is_that_of_both_parts_by_weight(quadratics, getkey):
    unrolling, key = Unrolling(steps=STEPS, problems=PROBLEMS), getkey()
    by_weight = [
        series(Imitation(unrolling, weight=weight), quadratics, key, 1)[0]
        for weight in (0.0, 1.0, 3.0)
    ]
    none, one, three = (np.asarray(found.gradient) for found in by_weight)
    assert np.linalg.norm(one - none) > 10 * np.linalg.norm(none)
    np.testing.assert_allclose(three - none, 3 * (one - none), rtol=1e-4, atol=1e-6)
    none, one, three = (np.asarray(found.variance) for found in by_weight)
    np.testing.assert_allclose(three - none, 9 * (one - none), rtol=1e-4)


def test_no_problem_s_imitation_counts_for_more_than_the_norm_it_is_clipped_to(quadratics, getkey):
    unrolling, key = Unrolling(steps=STEPS, problems=PROBLEMS), getkey()
    clipping = Imitation(unrolling, weight=1.0, problem_clip_norm=1e-3)
    (found,), (alone,) = (
        series(one, quadratics, key, 1) for one in (clipping, TruncatedBackprop(unrolling))
    )
    assert found.metrics["imitation/clipped"] == PROBLEMS
    assert 0.5e-3 < np.linalg.norm(found.gradient - alone.gradient) < 1.001e-3


HAND_MADE = {
    "adam": optax.adam(0.05),
    "momentum": optax.sgd(0.05, momentum=0.9),
    "rmsprop": optax.rmsprop(0.05),
    "sgd": optax.sgd(0.05),
}


def test_every_teacher_is_compared_with_optax():
    assert set(HAND_MADE) == set(TEACHERS)


def driven(teacher, student, steps):
    """The params after so many steps of the teacher, the student's state and its proposals."""
    params, proposals, made = BOWL.init(jax.random.key(0)), [], []
    teacher_state, student_state = teacher.init(params), student.init(params)
    for _ in range(steps):
        gradient = jax.grad(BOWL.loss)(params, None, jax.random.key(0))
        proposed, student_state = student.update(gradient, student_state, params)
        with jax.numpy_dtype_promotion("standard"):
            updates, teacher_state = teacher.update(gradient, teacher_state, params)
        params = optax.apply_updates(params, updates)
        proposals.append(proposed)
        made.append(updates)
    return params, student_state, jnp.stack(proposals), jnp.stack(made)


def test_the_two_parts_never_draw_the_same_problem(quadratics, getkey):
    """However often trajectories begin, and not with a delay either."""
    unrolling = Unrolling(steps=1, problems=2, lengths=LogUniformLengths(1, 2))
    found = series(Imitation(unrolling), quadratics, getkey(), 8)
    drawn = [
        {
            one.tobytes()
            for found in of_part
            for one in np.asarray(found.trajectories.problem.matrix)
        }
        for of_part in (
            [one.state.estimator.places for one in found],
            [one.state.places for one in found],
        )
    ]
    assert min(map(len, drawn)) >= 8
    assert not set.intersection(*drawn)


@some_kinds
def test_a_teacher_begins_on_the_entries_that_the_other_part_is_on(kind, getkey):
    """Of eight bowls, told by their condition numbers."""
    bowls = [BowlFromOnePoint(condition_number=1.0 + number) for number in range(8)]
    unrolling = Unrolling(steps=1, problems=PROBLEMS, lengths=LogUniformLengths(1, 2))
    found = series(Imitation(unrolling, kind(unrolling)), group_of(*bowls), getkey(), 5)
    for before, now in zip([None, *found], found, strict=False):
        places = now.state.places
        began = np.asarray(places.begun) > (0 if before is None else before.state.places.begun)
        assert began.any()
        entries = np.asarray(now.faults.entries)
        np.testing.assert_array_equal(np.asarray(places.entries)[began], entries[began])
        of_entries = 1.0 + np.asarray(places.entries)
        np.testing.assert_array_equal(places.trajectories.problem.condition_number, of_entries)


def relative(proposed, made):
    """The distance at each step."""
    return jnp.log(1 + jnp.square(proposed - made).sum((1, 2)) / jnp.square(made).sum((1, 2)))


@pytest.mark.parametrize(
    "teacher",
    [pytest.param(one, marks=pytest.mark.slow if one in SLOW_TEACHERS else ()) for one in TEACHERS],
)
def test_a_teacher_s_trajectory_equals_plain_optax_s(teacher, getkey):
    """And the student has seen all of it: its state, and how far off what it proposed was."""
    unrolling = Unrolling(steps=STEPS, problems=2, lengths=WITHOUT_END)
    estimator = Imitation(unrolling, teacher=teacher, learning_rate=0.05)
    found = series(estimator, group_of(BOWL), getkey(), 3)
    student = OPTIMIZER.transformation()
    params, state, proposed, made = driven(HAND_MADE[teacher], student, 3 * STEPS)
    trajectories = found[-1].state.places.trajectories
    assert list(trajectories.inner_step) == [3 * STEPS] * 2
    for place in range(2):
        np.testing.assert_allclose(trajectories.params[place], params, rtol=1e-5)
        seen = jax.tree.leaves(trajectories.opt_state.student)
        for one, other in zip(seen, jax.tree.leaves(state), strict=True):
            np.testing.assert_allclose(one[place], other, rtol=1e-4, atol=1e-12)
    distances = relative(proposed, made)
    for number, one in enumerate(found):
        expected = distances[number * STEPS : (number + 1) * STEPS].mean()
        np.testing.assert_allclose(one.means["imitation/loss"], expected, rtol=1e-4)


@pytest.mark.slow
def test_where_the_teacher_goes_does_not_depend_on_the_student(getkey):
    unrolling = Unrolling(steps=STEPS, problems=2, lengths=WITHOUT_END)
    wild = eqx.tree_at(lambda one: one.log_learning_rate, OPTIMIZER, jnp.array(5.0))
    key = getkey()
    one, other = (
        series(Imitation(unrolling), group_of(BOWL), key, 2, optimizer)[-1]
        for optimizer in (OPTIMIZER, wild)
    )
    paths = [found.state.places.trajectories.params for found in (one, other)]
    np.testing.assert_array_equal(*paths)
    assert other.means["imitation/loss"] > one.means["imitation/loss"] + np.log(1e6)


def distance_from_adam(optimizer, key, steps=20):
    """How far updates are from those of Adam at 0.01 on a new quadratic, relative to them."""
    problem = Quadratic(dimensions=3, key=key)
    params = problem.init(key)
    student, teacher = optimizer.transformation(), optax.adam(0.01)

    def step(carry, _):
        params, student_state, teacher_state = carry
        gradient = jax.grad(problem.loss)(params, None, key)
        proposed, student_state = student.update(gradient, student_state, params)
        with jax.numpy_dtype_promotion("standard"):
            updates, teacher_state = teacher.update(gradient, teacher_state, params)
        apart = optax.tree.norm(optax.tree.sub(proposed, updates)) / optax.tree.norm(updates)
        return (optax.apply_updates(params, updates), student_state, teacher_state), apart

    carry = (params, student.init(params), teacher.init(params))
    return float(jax.lax.scan(step, carry, None, length=steps)[1].mean())


def test_who_imitates_comes_closer_to_the_teacher(quadratics, getkey):
    """Of so large a weight that nothing else counts, from Adam's usual rate to ten times it."""
    unrolling = Unrolling(steps=10, problems=4, lengths=LogUniformLengths(1, 2))
    training = MetaTraining(
        Imitation(unrolling, weight=1e6), 0.1, warmup_steps=0, decay_steps=80, steps_per_dispatch=80
    )
    state = init_meta_state(training, OPTIMIZER, (quadratics,), getkey())
    ((state, metrics),) = meta_train(training, (quadratics,), state, last_meta_step=80)
    key = getkey()
    before, after = (distance_from_adam(one, key) for one in (OPTIMIZER, state.optimizer))
    assert before == pytest.approx(0.9, abs=0.01)
    assert after < 0.02
    losses = [row["imitation/loss"] for row in metrics.rows()]
    assert losses[0] == pytest.approx(np.log(1.81), abs=0.02)
    assert losses[-1] < 0.02


@pytest.mark.slow
def test_the_imitation_loss_is_averaged_over_groups_by_weight(quadratics, getkey):
    heavy = dataclasses.replace(group_of(BOWL), weights=jnp.array([6.0]))
    training = MetaTraining(Imitation(Unrolling(steps=2, problems=2)), steps_per_dispatch=2)
    groups = (heavy, quadratics)
    state = init_meta_state(training, OPTIMIZER, groups, getkey())
    ((_, metrics),) = meta_train(training, groups, state, last_meta_step=2)
    weights = np.array([6.0, float(quadratics.weights.sum())])
    for row in metrics.rows():
        for name in ("imitation/loss", "meta/loss"):
            losses = [row[f"{name}/bowls"], row[f"{name}/quadratics"]]
            assert row[name] == pytest.approx(np.average(losses, weights=weights), rel=1e-5)


def test_a_teacher_that_goes_astray_is_named_and_the_other_part_kept(getkey):
    """Steps of 1e30 lead to where the loss is infinite; the learned optimizer's own do not."""
    unrolling = Unrolling(steps=STEPS, problems=PROBLEMS, lengths=WITHOUT_END)
    astray = Imitation(unrolling, weight=1.0, teacher="sgd", learning_rate=1e30)
    key, group = getkey(), group_of(BOWL)
    (found, after), (alone, _) = (
        series(one, group, key, 2) for one in (astray, TruncatedBackprop(unrolling))
    )
    assert np.asarray(found.faults.bad).all()
    assert np.asarray(found.faults.beside).all()
    assert found.metrics["meta/nonfinite"] == found.metrics["imitation/nonfinite"] == PROBLEMS
    assert jnp.isnan(found.means["imitation/loss"])
    assert found.gradient.any()
    np.testing.assert_array_equal(found.gradient, alone.gradient)
    np.testing.assert_array_equal(found.meta_loss, alone.meta_loss)
    assert after.metrics["imitation/resets"] == PROBLEMS
    assert after.metrics["inner/resets"] == 0


def test_a_fault_of_one_part_has_the_entry_of_that_part(getkey):
    """After a while the two parts of a place are on other entries."""
    bad = eqx.tree_at(lambda bowl: bowl.condition_number, BOWL, jnp.array(jnp.nan))
    unrolling = Unrolling(steps=1, problems=PROBLEMS, lengths=LogUniformLengths(1, 4))
    found = series(Imitation(unrolling), group_of(BOWL, bad), getkey(), 12)
    for one in found:
        np.testing.assert_array_equal(one.faults.bad, one.faults.entries == 1)
    counts = [(one.metrics["imitation/nonfinite"], one.metrics["meta/nonfinite"]) for one in found]
    assert any(of_teacher < of_both for of_teacher, of_both in counts)


class Sampled(eqx.Module):
    """Estimates that are independent of each other."""

    gradients: jax.Array
    variances: jax.Array


KEYS, UNROLLS, WEIGHT = 400, 3, 0.5


def test_the_mean_is_the_exact_gradient_and_the_variance_is_reported(getkey):
    """All that is random is how far along the two trajectories of a place are."""
    schedule = LearningRateSchedule.release(steps=2 * UNROLLS, key=getkey())
    rates = jnp.array([0.1, 0.2, 0.15, 0.3, 0.2, 0.1])
    optimizer = eqx.tree_at(lambda one: one.log_learning_rates, schedule, jnp.log(rates))
    lengths = LogUniformLengths(UNROLLS, UNROLLS)
    unrolling = Unrolling(steps=2, problems=48, lengths=lengths)
    estimator = Imitation(
        unrolling,
        TruncatedBackprop(unrolling, 1e6),
        WEIGHT,
        "momentum",
        0.05,
        problem_clip_norm=1e6,
    )
    group = group_of(BOWL)

    @jax.jit
    def sample(key):
        def step(state, _):
            found = estimator.estimate(optimizer, group, state, jnp.array(0))
            return found.state, Sampled(found.gradient, found.variance)

        state = estimator.init(optimizer, group, key)
        return jax.lax.scan(step, state, None, length=4)[1]

    sampled = jax.lax.map(sample, jax.random.split(getkey(), KEYS), batch_size=50)
    gradients, variances = sampled.gradients[:, -1], sampled.variances[:, -1]
    expected = exact_gradient(optimizer, unrolling)
    error = jnp.sqrt(variances.mean() / KEYS)
    assert error < 0.05 * jnp.linalg.norm(expected)
    assert jnp.linalg.norm(gradients.mean(0) - expected) < 4 * error
    # Known to 7 % from so many keys, of which these are three.
    assert 0.79 < variances.mean() / gradients.var(0, ddof=1).sum() < 1.21


def exact_gradient(optimizer, unrolling):
    """Of the mean meta-loss of truncated unrolls, and of a mean distance in plain optax."""
    meta_params, optimizer_of = vectors(optimizer)

    def meta_loss(meta_params):
        trajectory, losses = begin(BOWL, optimizer, jax.random.key(0)), []
        for _ in range(UNROLLS):
            params = jax.lax.stop_gradient(trajectory.params)
            unrolled = unrolling.unroll(
                optimizer_of(meta_params), trajectory._replace(params=params)
            )
            trajectory = unrolled.trajectory
            losses.append(unrolled.meta_loss)
        return sum(losses) / UNROLLS

    def distance(meta_params):
        student = optimizer_of(meta_params).transformation()
        teacher = optax.sgd(0.05, momentum=0.9)
        _, _, proposed, made = driven(teacher, student, 2 * UNROLLS)
        return relative(proposed, made).mean()

    return jax.grad(meta_loss)(meta_params) + WEIGHT * jax.grad(distance)(meta_params)


def test_the_distance_is_the_same_in_every_unit_and_0_for_equal_updates(getkey):
    one, other = (jax.random.normal(getkey(), (5,)) for _ in range(2))
    found = relative_distance(one, other)
    squares = jnp.square(one - other).sum() / jnp.square(other).sum()
    np.testing.assert_allclose(found, jnp.log(1 + squares), rtol=1e-5)
    for unit in (1e-9, 1e9):
        np.testing.assert_allclose(relative_distance(unit * one, unit * other), found, rtol=1e-5)
    assert relative_distance(one, one) == 0
    slight = relative_distance(1.001 * one, one)
    np.testing.assert_allclose(slight, 1e-6, rtol=1e-3)
    np.testing.assert_allclose(relative_distance(jnp.zeros(5), one), np.log(2), rtol=1e-6)


def test_where_the_teacher_stands_still_there_is_nothing_to_imitate(getkey):
    proposed = jax.random.normal(getkey(), (5,))
    value, slope = jax.value_and_grad(relative_distance)(proposed, jnp.zeros(5))
    assert value == 0
    assert not slope.any()


@pytest.mark.parametrize("teacher", TEACHERS)
def test_no_teacher_moves_where_the_gradient_is_0(teacher):
    transformation = Taught(OPTIMIZER, teacher, 0.01).transformation()
    params = jnp.ones(3)
    updates, state = transformation.update(jnp.zeros(3), transformation.init(params), params)
    assert not updates.any()
    assert state.distance == 0


class Plain(Bowl):
    """A bowl without any slope."""

    def loss(self, params, batch, key):
        return 1.0 + 0.0 * super().loss(params, batch, key)


@pytest.mark.slow
def test_a_teacher_that_stands_still_throughout_gives_a_finite_estimate(getkey):
    estimator = Imitation(Unrolling(steps=STEPS, problems=2), weight=1.0)
    (found,) = series(estimator, group_of(Plain(condition_number=1.0)), getkey(), 1)
    assert found.means["imitation/loss"] == 0
    assert found.metrics["meta/nonfinite"] == 0
    assert np.isfinite(found.gradient).all()


def test_padding_is_not_compared(getkey):
    one, other = ({"a": jax.random.normal(getkey(), (4,))} for _ in range(2))
    valid = {"a": jnp.array([True, True, False, False])}
    cut = [jax.tree.map(lambda leaf: leaf[:2], tree) for tree in (one, other)]
    np.testing.assert_allclose(
        relative_distance(one, other, valid), relative_distance(*cut), rtol=1e-6
    )


def test_losses_are_those_at_the_teacher_s_params_whatever_the_student_would_add():
    trajectory = begin(BOWL, Taught(OPTIMIZER, "adam", 0.01), jax.random.key(0))
    state = TaughtState(ParamsOffset(jnp.ones((2, 1))), (), jnp.zeros(()))
    _, loss = LikeTheTeacher().score(jnp.ones(3), trajectory._replace(opt_state=state))
    assert loss == trajectory.initial_loss


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"teacher": "adm"}, "teacher is 'adm', but must be one of adam, momentum, rmsprop, sgd"),
        ({"weight": -0.1}, "weight is -0.1, but must be at least 0 and finite"),
        ({"weight": float("inf")}, "weight is inf, but must be at least 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0, but must be positive"),
        ({"learning_rate": float("nan")}, "learning_rate is nan, but must be positive"),
        ({"estimator": Imitation()}, "estimator imitates already"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        Imitation(**settings)


def test_both_parts_unroll_alike():
    unrolling = Unrolling(steps=7, problems=2)
    imitation = Imitation(unrolling, PersistentES(Unrolling(steps=1), deviation=0.5))
    assert imitation.estimator == PersistentES(unrolling, deviation=0.5)
