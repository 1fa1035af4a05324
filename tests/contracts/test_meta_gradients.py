"""What every estimator of the meta-gradient keeps, for every class found and its examples."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lopt.meta_gradients
from lopt.architectures import HierarchicalRNN, LearnedAdam, LearningRateSchedule
from lopt.catalogue import concrete_classes
from lopt.ensembles import draw_ensemble
from lopt.meta_gradients import FullES, MetaGradient, TruncatedBackprop
from lopt.meta_gradients.vectors import vectors
from lopt.unroll import begin, unroll
from tests.lopt.loops import OF_ONE_KIND

CLASSES = concrete_classes(lopt.meta_gradients, MetaGradient)
# Every further example of a class is compiled as often as the first, which takes minutes.
EXAMPLES = [
    pytest.param(example, id=f"{name}-{index}", marks=[pytest.mark.slow] if index else [])
    for name, cls in CLASSES.items()
    for index, example in enumerate(cls.examples())
]
every_estimator = pytest.mark.parametrize("estimator", EXAMPLES)

# What has trajectories in work between two estimates.
in_work = pytest.mark.parametrize(
    "estimator", [example for example in EXAMPLES if not isinstance(example.values[0], FullES)]
)

BOWLS = {"problem": "Bowl", "condition_number": {"choice": [0.1, 1.0, 5.0]}}

# Compiled once for each example, since all tests use one group and one optimizer.
compiled = jax.jit(
    lambda estimator, optimizer, group, state, meta_step: estimator.estimate(
        optimizer, group, state, meta_step
    )
)


def estimate(estimator, optimizer, group, state):
    return compiled(estimator, optimizer, group, state, jnp.array(0))


@pytest.fixture(scope="module")
def optimizer():
    sizes = {"hidden_sizes": (3, 2), "scales": 1, "extra_features": ()}
    return HierarchicalRNN.release(**sizes, key=jax.random.key(0))


@pytest.fixture(scope="module")
def group():
    """Two problems without random constants: what is spoiled in them stays spoiled."""
    entry = {"family": "bowls", "count": 2, "spec": BOWLS}
    return draw_ensemble([entry], seed=0).groups()[0]


def spoiled(group, *entries):
    """The group with problems whose loss is NaN at these entries."""
    problems = jax.tree.map(lambda leaf: leaf.at[jnp.array(entries)].set(jnp.nan), group.problems)
    return dataclasses.replace(group, problems=problems)


def signature(tree):
    """Structure, shapes, dtypes and weak types."""
    return jax.tree.map(lambda leaf: str(jax.typeof(leaf)), tree)


def arrays_of(tree):
    is_key = [jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in jax.tree.leaves(tree)]
    pairs = zip(jax.tree.leaves(tree), is_key, strict=True)
    return [np.asarray(jax.random.key_data(leaf) if key else leaf) for leaf, key in pairs]


def assert_close(one, other):
    """Up to the order of sums: relative to the largest number."""
    scale = max(np.abs(leaf).max() for leaf in arrays_of(other))
    for a, b in zip(arrays_of(one), arrays_of(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * scale)


def test_estimators_are_found_and_bring_examples():
    assert "TruncatedBackprop" in CLASSES
    assert all(cls.examples() for cls in CLASSES.values())


@every_estimator
def test_an_estimator_is_static_so_that_equal_ones_share_a_program(estimator):
    assert jax.tree.leaves(estimator) == []
    again = dataclasses.replace(estimator)
    assert again == estimator
    assert hash(again) == hash(estimator)


@every_estimator
def test_the_meta_gradient_is_like_the_meta_params_finite_and_not_zero(
    estimator, optimizer, group, getkey
):
    state = estimator.init(optimizer, group, getkey())
    for _ in range(3):
        result = estimate(estimator, optimizer, group, state)
        assert signature(result.gradient) == signature(vectors(optimizer).meta_params)
        assert np.isfinite(result.gradient).all()
        assert result.gradient.any()
        assert signature(result.meta_loss) == signature(result.variance) == "float32[]"
        assert jnp.isfinite(result.meta_loss)
        assert 0 < result.variance < jnp.inf
        state = result.state


@every_estimator
def test_the_state_keeps_its_form_so_that_one_program_serves(estimator, optimizer, group, getkey):
    state = estimator.init(optimizer, group, getkey())
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
    programs = set()
    for _ in range(3):
        new_state = estimate(estimator, optimizer, group, state).state
        assert signature(new_state) == signature(state)
        state = new_state
        programs.add(compiled._cache_size())
    assert len(programs) == 1


@every_estimator
def test_arrays_of_the_state_and_the_faults_have_the_problems_first(
    estimator, optimizer, group, getkey
):
    state = estimator.init(optimizer, group, getkey())
    result = estimate(estimator, optimizer, group, state)
    shapes = {leaf.shape[:1] for leaf in jax.tree.leaves((state, result.state))}
    # Some array has to have the problems, or devices do not know how to divide them.
    assert shapes - {()} == {(estimator.unrolling.problems,)}
    faults = jax.tree.leaves(result.faults)
    assert {leaf.shape for leaf in faults} == {(estimator.unrolling.problems,)}


@every_estimator
def test_metrics_are_the_same_counts_each_time(estimator, optimizer, group, getkey):
    state = estimator.init(optimizer, group, getkey())
    first = estimate(estimator, optimizer, group, state)
    second = estimate(estimator, optimizer, group, first.state)
    names = {"meta/nonfinite", "inner/resets", "inner/exploded", "inner/steps"}
    assert names <= set(first.metrics)
    assert first.metrics["inner/steps"] % estimator.unrolling.steps == 0
    assert first.metrics["inner/steps"] >= estimator.unrolling.steps * estimator.unrolling.problems
    for metrics in (first.metrics, second.metrics):
        assert set(metrics) == set(first.metrics)
        assert {signature(value) for value in metrics.values()} == {"float32[]"}
        assert all(value >= 0 and value == jnp.round(value) for value in metrics.values())


@every_estimator
def test_the_same_key_gives_the_same_bits_and_another_key_others(
    estimator, optimizer, group, getkey
):
    def two_estimates(key):
        first = estimate(estimator, optimizer, group, estimator.init(optimizer, group, key))
        return arrays_of((first, estimate(estimator, optimizer, group, first.state)))

    key = getkey()
    one, again, other = two_estimates(key), two_estimates(key), two_estimates(getkey())
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, again, strict=True))
    assert not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))


# The first is differentiated in forward mode, where an estimator does that.
@pytest.mark.parametrize(
    "optimizer",
    [
        LearnedAdam.release(key=jax.random.key(0)),
        LearningRateSchedule.release(steps=10, key=jax.random.key(0)),
    ],
    ids=lambda optimizer: type(optimizer).__name__,
)
@every_estimator
def test_a_bad_problem_of_32_is_named_and_leaves_the_estimate_of_the_others(
    estimator, optimizer, group, getkey
):
    """The last one alone is bad; draws for the others do not depend on how many there are."""
    group = dataclasses.replace(group, weights=jnp.array([31.0, 1.0]))
    of_32, of_31 = (
        dataclasses.replace(
            estimator, unrolling=dataclasses.replace(estimator.unrolling, problems=problems)
        )
        for problems in (32, 31)
    )
    state, smaller = (one.init(optimizer, group, getkey()) for one in (of_32, of_31))
    # Of keys, one in 86 draws the second entry for the last problem and no other.
    for _ in range(1000):
        key = getkey()
        with_bad = estimate(of_32, optimizer, spoiled(group, 1), state._replace(key=key))
        if list(with_bad.faults.bad) == [False] * 31 + [True]:
            break
    others = estimate(of_31, optimizer, group, smaller._replace(key=key))
    assert list(with_bad.faults.entries) == [0] * 31 + [1]
    assert list(others.faults.entries) == [0] * 31
    assert with_bad.faults.inner_steps[-1] == 1
    assert with_bad.metrics["meta/nonfinite"] == 1
    assert others.metrics["meta/nonfinite"] == 0
    assert_close(with_bad.gradient, others.gradient)
    assert_close(with_bad.meta_loss, others.meta_loss)
    assert_close(with_bad.variance, others.variance)


@every_estimator
def test_the_faults_are_exactly_the_entries_that_are_bad(estimator, optimizer, group, getkey):
    state = estimator.init(optimizer, group, getkey())
    for _ in range(4):
        result = estimate(estimator, optimizer, spoiled(group, 1), state)
        np.testing.assert_array_equal(result.faults.bad, result.faults.entries == 1)
        assert float(result.metrics["meta/nonfinite"]) == np.asarray(result.faults.bad).sum()
        state = result.state


@every_estimator
def test_bad_problems_alone_give_no_gradient_and_begin_anew(estimator, optimizer, group, getkey):
    state = estimator.init(optimizer, group, getkey())
    bad = estimate(estimator, optimizer, spoiled(group, 0, 1), state)
    assert not bad.gradient.any()
    assert bad.variance == 0
    assert jnp.isnan(bad.meta_loss)
    assert bad.metrics["meta/nonfinite"] == estimator.unrolling.problems
    after = estimate(estimator, optimizer, group, bad.state)
    assert after.metrics["inner/resets"] == estimator.unrolling.problems
    assert after.metrics["meta/nonfinite"] == 0
    assert after.gradient.any()


@in_work
def test_trajectories_end_and_begin_anew_one_by_one(estimator, optimizer, group, getkey):
    state = estimator.init(optimizer, group, getkey())
    resets = []
    for _ in range(150):
        result = estimate(estimator, optimizer, group, state)
        state = result.state
        resets.append(float(result.metrics["inner/resets"]))
    assert resets[0] > 0
    assert 0 < np.mean(np.array(resets[1:]) > 0) < 1
    assert np.isfinite(result.meta_loss)


@pytest.mark.parametrize("estimator", TruncatedBackprop.examples())
def test_backprop_gives_the_mean_of_the_gradients_through_the_unrolls(
    estimator, optimizer, group, getkey
):
    """From the trajectories' beginning on, initial hidden states included."""
    unrolling = estimator.unrolling
    state = estimator.init(optimizer, group, getkey())
    meta_params, static = eqx.partition(optimizer, eqx.is_inexact_array)

    def mean_meta_loss(meta_params):
        learner = eqx.combine(meta_params, static)

        def meta_loss(key):
            entry_key, draw_key, begin_key = jax.random.split(key, 3)
            entry = jax.random.categorical(entry_key, jnp.log(group.weights))
            start = begin(group.entry(entry).draw(draw_key), learner, begin_key)
            after, losses = unroll(learner, start, unrolling.steps, estimator.second_derivatives)
            return unrolling.objective.score(losses, after).meta_loss

        renewal_key, _ = jax.random.split(state.key)
        keys = jax.random.split(jax.random.split(renewal_key)[0], unrolling.problems)
        return jax.vmap(meta_loss)(keys).mean()

    # A meta-loss of nearly 0 has four digits in common only so.
    through = jax.jit(jax.value_and_grad(mean_meta_loss), compiler_options=OF_ONE_KIND)
    meta_loss, gradient = through(meta_params)
    estimated = eqx.filter_jit(type(estimator).estimate, compiler_options=OF_ONE_KIND)
    result = estimated(estimator, optimizer, group, state, jnp.array(0))
    assert result.metrics["meta/clipped"] == 0
    assert_close(result.meta_loss, meta_loss)
    assert_close(result.gradient, vectors(gradient).meta_params)
    assert vectors(optimizer).optimizer_of(result.gradient).initial_hidden[0].any()
