"""Laws of unrolls, meta-gradients and meta-training."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lopt.architectures import HierarchicalRNN
from lopt.ensembles import draw_ensemble
from lopt.meta_gradients import ExponentialLengths, TruncatedBackprop, Unrolling
from lopt.meta_gradients.combining import combine
from lopt.meta_objectives import AverageLogLoss
from lopt.meta_training import MetaTraining, init_meta_state, meta_train
from lopt.problems import Quadratic
from lopt.unroll import begin, current_loss, inner_step, unroll

SPEC = {"problem": "Quadratic", "dimensions": 3}


def groups(count=2):
    entry = {"family": "quadratics", "count": count, "spec": SPEC}
    return draw_ensemble([entry], seed=0).groups()


def optimizer(**settings):
    return HierarchicalRNN.release(hidden_sizes=(4, 3, 2), key=jax.random.key(0), **settings)


def training(**settings):
    unrolling = Unrolling(steps=3, problems=4, lengths=ExponentialLengths(1, 2.0, 10))
    return MetaTraining(estimator=TruncatedBackprop(unrolling), decay_steps=50, **settings)


def arrays_of(tree):
    return [
        np.asarray(jax.random.key_data(leaf))
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        else np.asarray(leaf)
        for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array))
    ]


def test_one_unroll_equals_two_half_unrolls(getkey) -> None:
    problem = Quadratic(dimensions=4, key=getkey())
    start = begin(problem, optimizer(), getkey())
    run = jax.jit(unroll, static_argnums=2)
    whole, losses = run(optimizer(), start, 6)
    half, first = run(optimizer(), start, 3)
    rest, second = run(optimizer(), half, 3)
    np.testing.assert_allclose(losses, jnp.concatenate([first, second]), rtol=1e-6)
    np.testing.assert_allclose(whole.params, rest.params, rtol=1e-5)
    assert int(rest.inner_step) == 6


def test_the_loss_is_scored_after_each_step_and_never_before(getkey) -> None:
    start = begin(Quadratic(dimensions=4, key=getkey()), optimizer(), getkey())
    _, losses = unroll(optimizer(), start, 2)
    after_one = inner_step(optimizer(), start)
    assert float(losses[0]) == pytest.approx(float(current_loss(after_one)), rel=1e-6)
    assert float(losses[1]) == pytest.approx(
        float(current_loss(inner_step(optimizer(), after_one))), rel=1e-5
    )


@pytest.mark.parametrize("attention", [False, True])
def test_the_meta_gradient_is_that_of_finite_differences(attention, getkey) -> None:
    """Five steps on a quadratic, second derivatives on: PAPER.md section 10, item 7."""
    learner = optimizer(attention=attention)
    start = begin(Quadratic(dimensions=4, key=getkey()), learner, getkey())
    # Larger steps than a fresh optimizer takes, for differences beyond rounding.
    rates = jnp.full_like(start.opt_state.scalars.log_learning_rate, jnp.log(0.1))
    scalars = start.opt_state.scalars._replace(log_learning_rate=rates)
    start = start._replace(opt_state=start.opt_state._replace(scalars=scalars))
    meta_params, static = eqx.partition(learner, eqx.is_inexact_array)

    def meta_loss(meta_params, second_derivatives=True):
        _, losses = unroll(eqx.combine(meta_params, static), start, 5, second_derivatives)
        return AverageLogLoss().score(losses, start).meta_loss

    meta_gradient = jax.jit(jax.grad(meta_loss))
    exact = meta_gradient(meta_params)
    norm = jnp.sqrt(sum(jnp.square(leaf).sum() for leaf in jax.tree.leaves(exact)))
    along = jax.tree.map(lambda leaf: leaf / norm, exact)

    @jax.jit
    def moved(size):
        return meta_loss(jax.tree.map(lambda a, b: a + size * b, meta_params, along))

    size = 3e-2
    difference = float(moved(size) - moved(-size)) / (2 * size)
    assert difference == pytest.approx(float(norm), rel=2e-2)
    first_only = jax.jit(jax.grad(lambda params: meta_loss(params, False)))(meta_params)
    assert not np.allclose(
        first_only.parameter_rnn.cell.gates.matrix,
        exact.parameter_rnn.cell.gates.matrix,
        rtol=1e-3,
        atol=0,
    )


@pytest.mark.parametrize("numerator_epsilon", [False, True])
def test_the_meta_objective_is_the_mean_log_ratio(numerator_epsilon, getkey) -> None:
    objective = AverageLogLoss(numerator_epsilon=numerator_epsilon)
    start = begin(Quadratic(dimensions=4, key=getkey()), optimizer(), getkey())
    start = start._replace(initial_loss=jnp.array(10.0))
    scored = objective.score(jnp.array([1.0, 0.1]), start)
    assert float(scored.meta_loss) == pytest.approx((np.log(0.1) + np.log(0.01)) / 2, abs=1e-3)
    assert float(scored.last_loss) == np.float32(0.1)
    nothing = start._replace(initial_loss=jnp.array(0.0))
    assert np.isfinite(objective.score(jnp.zeros(2), nothing).meta_loss)


def test_meta_training_lowers_the_meta_loss(getkey) -> None:
    unrolling = Unrolling(steps=10, problems=8, lengths=ExponentialLengths(1, 2.0, 10))
    estimator = TruncatedBackprop(unrolling)
    setting = MetaTraining(estimator=estimator, meta_learning_rate=1e-2, decay_steps=300)
    state = init_meta_state(setting, optimizer(), groups(), getkey())
    dispatches = meta_train(setting, groups(), state, last_meta_step=200)
    losses = [row["meta/loss"] for _, metrics in dispatches for row in metrics.rows()]
    assert len(losses) == 200
    assert np.mean(losses[-20:]) < np.mean(losses[:20]) - 0.5


def test_the_same_key_gives_the_same_meta_params_bit_for_bit(getkey) -> None:
    key, setting = getkey(), training()

    def run():
        start = init_meta_state(setting, optimizer(), groups(), key)
        return list(meta_train(setting, groups(), start, last_meta_step=4))[-1][0]

    for a, b in zip(arrays_of(run()), arrays_of(run()), strict=True):
        np.testing.assert_array_equal(a, b)


def test_resuming_from_a_state_equals_never_stopping(getkey) -> None:
    setting = training(steps_per_dispatch=1)
    start = init_meta_state(setting, optimizer(), groups(), getkey())
    never_stopped = [
        state for state, _ in itertools.islice(meta_train(setting, groups(), start), 6)
    ]
    resumed, _ = next(itertools.islice(meta_train(setting, groups(), never_stopped[2]), 2, None))
    for a, b in zip(arrays_of(never_stopped[5]), arrays_of(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_state_keeps_its_form(getkey) -> None:
    setting = training()
    start = init_meta_state(setting, optimizer(), groups(), getkey())
    avals = jax.tree.map(lambda leaf: str(jax.typeof(leaf)), eqx.filter(start, eqx.is_array))
    state, _ = next(meta_train(setting, groups(), start))
    after = jax.tree.map(lambda leaf: str(jax.typeof(leaf)), eqx.filter(state, eqx.is_array))
    assert avals == after


def test_metrics_are_named_by_level_and_family(getkey) -> None:
    setting = training()
    state = init_meta_state(setting, optimizer(), groups(), getkey())
    _, metrics = next(meta_train(setting, groups(), state))
    names = {"meta/loss", "meta/loss/quadratics", "meta/gradient_norm", "meta/gradient_error"}
    names |= {"meta/nonfinite", "meta/nonfinite/quadratics", "inner/steps", "inner/resets"}
    rows = metrics.rows()
    assert len(rows) == metrics.steps == setting.steps_per_dispatch
    assert metrics.first_meta_step == 1
    for row in rows:
        assert names <= set(row)
        assert row["meta/loss"] == pytest.approx(row["meta/loss/quadratics"])
        assert row["inner/steps"] == 4 * 3
        assert all(isinstance(value, float) for value in row.values())


def test_trajectories_end_at_lengths_of_their_own(getkey) -> None:
    setting = training(steps_per_dispatch=1)
    state = init_meta_state(setting, optimizer(), groups(), getkey())
    steps = []
    for after, _ in itertools.islice(meta_train(setting, groups(), state), 12):
        steps.append(np.asarray(after.estimator_states[0].places.trajectories.inner_step))
    table = np.stack(steps)
    assert (table > 0).all()
    assert table.max() > 3
    began_anew = (np.diff(table, axis=0) <= 0).sum(axis=0)
    assert (began_anew > 0).all()
    assert len(np.unique(table[-1])) > 1


@settings(max_examples=30)
@given(
    bad_losses=st.sets(st.integers(0, 7)),
    bad_gradients=st.sets(st.integers(0, 7)),
    bad=st.sampled_from([np.nan, np.inf, -np.inf, 3e38]),
)
def test_combining_with_bad_problems_is_combining_without_them(
    bad_losses, bad_gradients, bad
) -> None:
    generator = np.random.default_rng(0)
    losses = generator.normal(size=8).astype(np.float32)
    gradients = 2 * generator.normal(size=(8, 7)).astype(np.float32)
    good = [i for i in range(8) if i not in bad_losses | bad_gradients]
    expected = combine(jnp.asarray(losses[good]), jnp.asarray(gradients[good]), 1.0)
    for i in bad_losses:
        losses[i] = np.nan
    for i in bad_gradients:
        gradients[i, 1] = bad
    combined = combine(jnp.asarray(losses), jnp.asarray(gradients), 1.0)
    assert list(np.flatnonzero(combined.sound)) == good
    assert np.isfinite(combined.gradient).all()
    assert np.isfinite(combined.variance)
    if good:
        np.testing.assert_allclose(combined.gradient, expected.gradient, rtol=1e-5, atol=1e-7)
        # A difference of squares of norms, none of them above the clip norm of 1.
        np.testing.assert_allclose(combined.variance, expected.variance, rtol=1e-5, atol=1e-6)
    assert np.isfinite(combined.meta_loss) == bool(good)


def test_a_bad_problem_takes_no_part_and_is_counted(getkey) -> None:
    """The meta-gradient with 1 of 4 problems bad is that over the other 3."""
    estimator = training().estimator
    (group,), learner = groups(1), optimizer()
    state = estimator.init(learner, group, getkey())
    compiled = jax.jit(estimator.estimate)

    def estimate(*args):
        return compiled(*args, jnp.array(0))

    def with_problems(state, problem):
        trajectories = state.places.trajectories._replace(problem=problem)
        return state._replace(places=state.places._replace(trajectories=trajectories))

    state = estimate(learner, group, state).state
    lengths = jnp.full_like(state.places.lengths, 10_000)
    state = state._replace(places=state.places._replace(lengths=lengths))
    # Only the bad one's place differs, so the others' parts can be told from the whole.
    problem = state.places.trajectories.problem
    matrices = problem.matrix.at[1].set(jnp.nan)
    broken = with_problems(state, eqx.tree_at(lambda p: p.matrix, problem, matrices))
    with_bad = estimate(learner, group, broken)
    parts = []
    for keep in (0, 2, 3):
        alone = jnp.full_like(matrices, jnp.nan).at[keep].set(matrices[keep])
        only = eqx.tree_at(lambda p: p.matrix, problem, alone)
        parts.append(estimate(learner, group, with_problems(state, only)).gradient)
    np.testing.assert_allclose(with_bad.gradient, sum(parts) / 3, rtol=1e-4, atol=1e-9)
    assert list(with_bad.faults.bad) == [False, True, False, False]
    assert with_bad.faults.inner_steps[1] == 3 + 1
    assert float(with_bad.metrics["meta/nonfinite"]) == 1
    assert np.isfinite(with_bad.meta_loss)
    # It begins anew at the next estimate, and nothing else does.
    after = estimate(learner, group, with_bad.state)
    assert float(after.metrics["meta/nonfinite"]) == 0
    assert float(after.metrics["inner/resets"]) == 1


@pytest.mark.parametrize("warmup_steps", [-1, 50, 51])
def test_a_warmup_that_leaves_nothing_to_decay_is_refused(warmup_steps) -> None:
    with pytest.raises(ValueError, match=f"warmup_steps is {warmup_steps}.*50"):
        MetaTraining(warmup_steps=warmup_steps, decay_steps=50)
