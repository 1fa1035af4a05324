"""Laws of the iterator over meta-steps."""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

import lopt.meta_gradients
from lopt.architectures import LearnedAdam
from lopt.catalogue import concrete_classes
from lopt.ensembles import Group, draw_ensemble
from lopt.meta_gradients import (
    Estimate,
    ExponentialLengths,
    Faults,
    FullES,
    LogUniformLengths,
    MetaGradient,
    TruncatedBackprop,
    Unrolling,
)
from lopt.meta_gradients.vectors import vectors
from lopt.meta_training import Fault, MetaTraining, init_meta_state, meta_train, problem_mesh, steps
from lopt.problems import Bowl
from tests.lopt.processors import on_processors

CLASSES = concrete_classes(lopt.meta_gradients, MetaGradient)
OPTIMIZER = LearnedAdam.release(key=jax.random.key(0))


class Drawn(NamedTuple):
    """What the stand-in remembers: how often it was asked."""

    number: Array


class StandIn(MetaGradient):
    """Gives a gradient that a bowl's angle and condition number say: cheap to compile."""

    def init(self, optimizer, group, key):
        return Drawn(jnp.zeros((), jnp.int32))

    def estimate(self, optimizer, group, state, meta_step):
        TRACED.append(group.family)
        bowl = group.entry(0)
        phase = bowl.angle + state.number.astype(jnp.float32)
        size = len(vectors(optimizer).meta_params)
        wave = jnp.sin(phase + jnp.arange(size, dtype=jnp.float32))
        zero = jnp.zeros(())
        nobody = jnp.zeros(1, jnp.int32)
        return Estimate(
            meta_loss=zero,
            gradient=bowl.condition_number * wave,
            state=Drawn(state.number + 1),
            metrics=dict.fromkeys(("meta/nonfinite", "inner/exploded"), zero),
            variance=zero,
            faults=Faults(nobody == 1, nobody, nobody),
        )

    @classmethod
    def examples(cls):
        return (cls(),)


TRACED = []


def bowl_group(family, condition_number, angle=0.0, weight=1.0):
    problem = Bowl(condition_number=condition_number, angle=angle)
    stacked = jax.tree.map(lambda leaf: leaf[None], problem)
    return Group(family, stacked, jnp.array([weight]))


THREE = tuple(bowl_group(f"bowls/{number}", 1.0 + number, float(number)) for number in range(3))


@pytest.fixture(scope="module")
def groups():
    entries = [
        {"family": "bowls", "spec": {"problem": "Bowl", "condition_number": 2.0}, "weight": 2.0},
        {"family": "quadratics", "count": 2, "spec": {"problem": "Quadratic", "dimensions": 2}},
        {"family": "isotropic", "spec": {"problem": "IsotropicQuadratic", "dimensions": 3}},
    ]
    return draw_ensemble(entries, seed=0).groups()


LARGE = draw_ensemble(
    [{"family": "large", "spec": {"problem": "Quadratic", "dimensions": 65}}], seed=0
).groups()


def estimator(kind=TruncatedBackprop):
    lengths = LogUniformLengths(1, 3) if kind is FullES else ExponentialLengths(1, 1.0, 10)
    return kind(Unrolling(steps=2, problems=3, lengths=lengths))


def trained(training, groups, start, last):
    """The state after a meta-step."""
    return [state for state, _ in meta_train(training, groups, start, last_meta_step=last)][-1]


def arrays_of(tree):
    return [
        np.asarray(jax.random.key_data(leaf))
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        else np.asarray(leaf)
        for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array))
    ]


def stored(state):
    """The state as it comes back from a file."""

    def fresh(leaf):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(jnp.array(np.asarray(jax.random.key_data(leaf))))
        return jnp.array(np.asarray(leaf))

    return jax.tree.map(fresh, state)


def assert_same_bits(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(arrays_of(one), arrays_of(other), strict=True):
        np.testing.assert_array_equal(a, b)


def meta_params_of(state):
    return np.asarray(vectors(state.optimizer).meta_params)


def test_calls_that_are_cut_anywhere_give_the_same_bits(groups, getkey):
    """Three bundles that take turns of two meta-steps, and nearly two rounds of them."""
    training = MetaTraining(
        estimator(), decay_steps=50, groups_per_step=1, steps_per_dispatch=2, equal_groups=True
    )
    start, last = init_meta_state(training, OPTIMIZER, groups, getkey()), 11
    whole = trained(training, groups, start, last)
    assert int(whole.meta_step) == last
    for cut in range(1, last):
        before = trained(training, groups, start, cut)
        assert int(before.meta_step) == cut
        assert_same_bits(trained(training, groups, before, last), whole)
    one_by_one = start
    for meta_step in range(1, last + 1):
        one_by_one = trained(training, groups, one_by_one, meta_step)
    assert_same_bits(one_by_one, whole)


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_resuming_equals_never_stopping(kind, groups, getkey):
    training = MetaTraining(estimator(kind), decay_steps=50, steps_per_dispatch=4)
    start = init_meta_state(training, OPTIMIZER, groups[:1], getkey())
    never_stopped = trained(training, groups[:1], start, 9)
    before = trained(training, groups[:1], start, 3)
    assert (meta_params_of(before) != meta_params_of(never_stopped)).any()
    assert_same_bits(trained(training, groups[:1], stored(before), 9), never_stopped)


def test_how_many_meta_steps_a_dispatch_has_changes_nothing(groups, getkey):
    """Another program, but of the same loop: on one machine not even the rounding differs."""
    training = MetaTraining(estimator(), decay_steps=50, steps_per_dispatch=1)
    start = init_meta_state(training, OPTIMIZER, groups[:1], getkey())
    one = trained(training, groups[:1], start, 7)
    more = dataclasses.replace(training, steps_per_dispatch=5)
    assert_same_bits(trained(more, groups[:1], start, 7), one)


@on_processors
def test_compiling_quickly_changes_nothing_but_rounding(getkey, monkeypatch):
    training = MetaTraining(estimator(), decay_steps=50, steps_per_dispatch=3)
    start = init_meta_state(training, OPTIMIZER, LARGE, getkey())
    one = meta_params_of(trained(training, LARGE, start, 3))
    # Or else another program would do.
    asked, given = [], steps.processor_options
    steps._compiled.cache_clear()
    monkeypatch.setattr(steps, "processor_options", lambda *how: asked.append(how) or given(*how))
    quickly = dataclasses.replace(training, compile_quickly=True)
    other = meta_params_of(trained(quickly, LARGE, start, 3))
    np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)
    assert asked == [(True, False)]
    assert given(True, False) != given(False, False)


def test_programs_of_nothing_but_small_problems_are_compiled_for_short_loops(groups, monkeypatch):
    asked = []
    monkeypatch.setattr(steps, "_compiled", lambda *how: asked.append(how))
    for some in (groups[:1], LARGE, [*groups[:1], *LARGE]):
        steps._program(MetaTraining(estimator()), some)
    assert asked == [(False, True), (False, False), (False, False)]


@on_processors
@pytest.mark.parametrize("name", sorted(CLASSES))
def test_an_accelerator_knows_how_often_every_loop_goes_round(name, groups, getkey, monkeypatch):
    """Else it would ask the host after each round. Whole trajectories are as long as they are."""
    training = MetaTraining(CLASSES[name].examples()[0], steps_per_dispatch=3)
    start = init_meta_state(training, OPTIMIZER, groups[:1], getkey())
    turn = training.schedule(groups[:1]).turn(0)

    def open_loops():
        arguments = steps._arguments(training, groups[:1], start, turn, None)
        return str(eqx.filter_make_jaxpr(steps._meta_steps)(*arguments)[0]).count("while[")

    assert open_loops()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert open_loops() == (1 if CLASSES[name] is FullES else 0)


def test_a_mesh_of_one_device_changes_nothing(groups, getkey):
    training = MetaTraining(estimator(), decay_steps=50, steps_per_dispatch=3)
    start = init_meta_state(training, OPTIMIZER, groups[:1], getkey())
    mesh = problem_mesh(jax.devices()[:1])
    one = trained(training, groups[:1], start, 4)
    dispatches = list(meta_train(training, groups[:1], start, last_meta_step=4, mesh=mesh))
    assert_same_bits(dispatches[-1][0], one)


def test_dispatches_are_of_a_bundle_each_and_number_their_meta_steps(getkey):
    training = MetaTraining(StandIn(), groups_per_step=2, steps_per_dispatch=3)
    state = init_meta_state(training, OPTIMIZER, THREE, getkey())
    seen = [
        (metrics.first_meta_step, len(metrics.rows()), set(metrics.families))
        for _, metrics in meta_train(training, THREE, state, last_meta_step=8)
    ]
    bundles = [
        {THREE[group].family for group in bundle} for bundle in training.schedule(THREE).bundles
    ]
    assert seen == [(1, 3, bundles[0]), (4, 3, bundles[1]), (7, 2, bundles[0])]


def test_a_bundle_is_traced_and_compiled_once(getkey):
    """However often it has its turn, however long that is, wherever calls begin."""
    # With a norm of its own: programs that other tests have compiled are not compiled again.
    training = MetaTraining(StandIn(), clip_norm=2.0, groups_per_step=1, steps_per_dispatch=3)
    start = init_meta_state(training, OPTIMIZER, THREE, getkey())
    compiled = []
    before = len(TRACED)

    def listen(event, seconds, **about):
        if "backend_compile" in event and "meta_steps" in about["fun_name"]:
            compiled.append(about)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        state = trained(training, THREE, start, 9)
        traced = len(TRACED)
        assert traced - before == len(THREE)
        assert len(compiled) == len(THREE)
        state = trained(training, THREE, state, 13)
        state = dataclasses.replace(state, rate_scale=jnp.array(0.5))
        state = trained(training, THREE, stored(state), 32)
        assert int(state.meta_step) == 32
        assert len(compiled) == len(THREE)
        assert len(TRACED) == traced
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_another_rate_or_number_of_meta_steps_has_the_same_program(getkey):
    one = MetaTraining(StandIn(), decay_steps=50, steps_per_dispatch=3)
    another = MetaTraining(
        StandIn(), meta_learning_rate=1e-4, warmup_steps=5, decay_steps=70, steps_per_dispatch=3
    )
    start = init_meta_state(one, OPTIMIZER, THREE, getkey())
    moved = trained(one, THREE, start, 9)
    traced = len(TRACED)
    moved_less = trained(another, THREE, start, 9)
    assert len(TRACED) == traced
    assert not np.array_equal(meta_params_of(moved), meta_params_of(moved_less))


def test_the_rates_of_meta_steps_are_those_of_the_settings(getkey):
    training = MetaTraining(StandIn(), 3e-3, 5, 40, steps_per_dispatch=7)
    start = init_meta_state(training, OPTIMIZER, THREE, getkey())
    start = dataclasses.replace(start, rate_scale=jnp.array(0.5))
    dispatches = meta_train(training, THREE, start, last_meta_step=45)
    rates = [row["meta/learning_rate"] for _, metrics in dispatches for row in metrics.rows()]
    rate_at = jax.jit(training.meta_learning_rate_at)
    expected = [0.5 * rate_at(jnp.int32(step)) for step in range(45)]
    np.testing.assert_allclose(rates, expected, rtol=3e-7)


def of_two_families(training, scale, key, last=12):
    """Meta-params and metrics where the second family's gradient is so much larger."""
    pair = (bowl_group("small", 1.0, 0.0), bowl_group("large", scale, 2.0))
    state = init_meta_state(training, OPTIMIZER, pair, key)
    dispatches = list(meta_train(training, pair, state, last_meta_step=last))
    norms = [row["meta/gradient_norm"] for _, metrics in dispatches for row in metrics.rows()]
    return meta_params_of(dispatches[-1][0]), norms


def test_equal_groups_let_a_larger_gradient_count_no_more(getkey):
    key = getkey()
    equal = MetaTraining(StandIn(), clip_norm=1e9, decay_steps=50, equal_groups=True)
    as_they_are = dataclasses.replace(equal, equal_groups=False)
    one, norms = of_two_families(equal, 1.0, key)
    other, norms_of_other = of_two_families(equal, 1000.0, key)
    # Up to rounding, which squares and roots of them have in other places.
    np.testing.assert_allclose(norms_of_other, norms, rtol=1e-5)
    np.testing.assert_allclose(other, one, rtol=1e-5)
    # Two parts, each about as long as its share, which is 1.
    assert 0.1 < np.mean(norms) < 2.0
    one, norms = of_two_families(as_they_are, 1.0, key)
    other, norms_of_other = of_two_families(as_they_are, 1000.0, key)
    assert (np.array(norms_of_other) > 100 * np.array(norms)).all()
    assert not np.allclose(other, one, rtol=1e-4)


def test_a_group_counts_by_its_share(getkey):
    """One of weight 3 and one of weight 1, in one bundle and in two: per round the same."""
    pair = (bowl_group("heavy", 1.0, 0.0, weight=3.0), bowl_group("light", 1.0, 2.0))
    training = MetaTraining(StandIn(), clip_norm=1e9, steps_per_dispatch=1)
    state = init_meta_state(training, OPTIMIZER, pair, getkey())
    apart = dataclasses.replace(training, groups_per_step=1)
    norms = []
    for _, metrics in meta_train(apart, pair, state, last_meta_step=2):
        norms += [row["meta/gradient_norm"] for row in metrics.rows()]
    unit = [float(jnp.linalg.norm(jnp.sin(angle + jnp.arange(4.0)))) for angle in (0.0, 2.0)]
    np.testing.assert_allclose(norms, [1.5 * unit[0], 0.5 * unit[1]], rtol=1e-5)
    ((_, metrics),) = meta_train(training, pair, state, last_meta_step=1)
    together = 0.75 * jnp.sin(jnp.arange(4.0)) + 0.25 * jnp.sin(2 + jnp.arange(4.0))
    found = metrics.rows()[0]["meta/gradient_norm"]
    assert found == pytest.approx(float(jnp.linalg.norm(together)), rel=1e-5)


class WithoutALoss(StandIn):
    """Has no sound problem in a family whose bowls are long."""

    def estimate(self, optimizer, group, state, meta_step):
        estimate = super().estimate(optimizer, group, state, meta_step)
        nothing = group.entry(0).condition_number > 1
        return estimate._replace(meta_loss=jnp.where(nothing, jnp.nan, 0.5))


def test_a_family_without_a_sound_problem_leaves_the_others_their_loss(getkey):
    training = MetaTraining(WithoutALoss(), steps_per_dispatch=1)
    bad, good = bowl_group("bad", 2.0), bowl_group("good", 1.0)
    for groups, loss in (((bad, good), 0.5), ((bad,), np.nan)):
        state = init_meta_state(training, OPTIMIZER, groups, getkey())
        ((_, metrics),) = meta_train(training, groups, state, last_meta_step=1)
        (row,) = metrics.rows()
        assert np.isnan(row["meta/loss/bad"])
        np.testing.assert_equal(row["meta/loss"], loss)


def test_a_rate_scale_of_0_leaves_the_meta_params_as_they_are(groups, getkey):
    training = MetaTraining(estimator(), decay_steps=50, steps_per_dispatch=4)
    start = init_meta_state(training, OPTIMIZER, groups[:1], getkey())
    still = dataclasses.replace(start, rate_scale=jnp.zeros(()))
    after = trained(training, groups[:1], still, 6)
    np.testing.assert_array_equal(meta_params_of(after), meta_params_of(start))
    assert int(after.meta_step) == 6
    moved = after.estimator_states[0].places.trajectories.params
    assert (moved != start.estimator_states[0].places.trajectories.params).any()


def test_the_rate_scale_scales_the_first_meta_step(getkey):
    training = MetaTraining(StandIn(), steps_per_dispatch=1)
    start = init_meta_state(training, OPTIMIZER, THREE, getkey())
    half = dataclasses.replace(start, rate_scale=jnp.array(0.5))
    before = meta_params_of(start)
    whole, halved = (meta_params_of(trained(training, THREE, s, 1)) - before for s in (start, half))
    assert whole.any()
    # A difference of numbers of up to 20 with 24 bits each, of some 3e-4.
    np.testing.assert_allclose(halved, whole / 2, atol=2e-6)


def test_faults_are_named_by_meta_step_family_and_entry(getkey):
    training = MetaTraining(estimator(), decay_steps=50, steps_per_dispatch=4)
    sound = Bowl(condition_number=1.0)
    bad = eqx.tree_at(lambda bowl: bowl.condition_number, sound, jnp.array(jnp.nan))
    two = Group("two", jax.tree.map(lambda *leaves: jnp.stack(leaves), sound, bad), jnp.ones(2))
    state = init_meta_state(training, OPTIMIZER, (two,), getkey())
    faults, counted = [], 0
    for _, metrics in meta_train(training, (two,), state, last_meta_step=6):
        found = metrics.named_faults()
        rows = metrics.rows()
        for index, row in enumerate(rows):
            number = metrics.first_meta_step + index
            assert row["meta/nonfinite"] == sum(fault.meta_step == number for fault in found)
            assert row["meta/nonfinite/two"] == row["meta/nonfinite"]
            counted += row["meta/nonfinite"]
        faults += found
    assert counted == len(faults) > 0
    assert {fault.meta_step for fault in faults} <= set(range(1, 7))
    assert all(fault == Fault(fault.meta_step, "two", 1, 1) for fault in faults)


@pytest.mark.parametrize("name", ["groups_per_step", "steps_per_dispatch"])
def test_counts_of_nothing_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} is 0, but must be at least 1"):
        MetaTraining(**{name: 0})
