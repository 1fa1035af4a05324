"""Laws of training targets with any optax transformation."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lopt.architectures import HierarchicalRNN, ParamsOffset
from lopt.evaluation import Candidate, baselines, evaluate, evaluate_one, learned
from lopt.evaluation.evaluate import seed_keys
from lopt.evaluation.target import Target
from lopt.evaluation.trajectory import Span, advance, begin, records_of, untrained
from lopt.problems import Problem, loss_and_gradient

# One program against another that XLA may fuse in another way: a few float32 roundings.
ROUNDING = {"rtol": 2e-5, "atol": 1e-7}


def losses_alone(target, transformation, key):
    """Train one trajectory, from beginning to end."""
    start = begin(target, key)
    whole = Span(jnp.int32(0), jnp.int32(records_of(target)))
    first = untrained(target, start, transformation)
    return advance(target, start, transformation, key, first, whole).losses


def test_a_trajectory_equals_a_loop_written_by_hand(noisy_quadratics, getkey):
    target, key, transformation = noisy_quadratics, getkey(), optax.adam(0.05)
    losses = losses_alone(target, transformation, key)

    draw_key, init_key, step_key, loss_key = jax.random.split(key, 4)
    problem = target.draw(draw_key)
    params = problem.init(init_key)
    opt_state = transformation.init(params)
    expected = [problem.loss(params, problem.full_batch(), loss_key)]
    for step in range(target.steps):
        _, gradient = loss_and_gradient(problem, params, jax.random.fold_in(step_key, step))
        with jax.numpy_dtype_promotion("standard"):  # optax.adam needs it
            updates, opt_state = transformation.update(gradient, opt_state, params)
        params = optax.apply_updates(params, updates)
        if (step + 1) % target.record_every == 0:
            expected.append(problem.loss(params, problem.full_batch(), loss_key))
    np.testing.assert_allclose(losses, jnp.stack(expected), **ROUNDING)


def test_all_rates_and_seeds_together_equal_one_by_one(noisy_quadratics, getkey):
    key, rates = getkey(), (0.01, 0.3)
    cell = evaluate_one(noisy_quadratics, Candidate("Adam", optax.adam, rates), 3, key)
    for rate, losses_of_rate in zip(rates, cell.losses, strict=True):
        for seed_key, losses in zip(
            seed_keys(key, noisy_quadratics.name, 3), losses_of_rate, strict=True
        ):
            alone = losses_alone(noisy_quadratics, optax.adam(rate), seed_key)
            np.testing.assert_allclose(losses, alone, **ROUNDING)


def test_targets_of_one_kind_are_begun_independently(noisy_quadratics, getkey):
    other, key = dataclasses.replace(noisy_quadratics, name="other"), getkey()
    sgd = Candidate("SGD", optax.sgd, (0.1,))
    one, two = evaluate([noisy_quadratics, other], [sgd], 3, key)
    assert not np.intersect1d(one.losses[0, :, 0], two.losses[0, :, 0]).size


def test_every_optimizer_gets_the_same_problems_and_initial_params(noisy_quadratics, getkey):
    candidates = (*baselines((0.01, 0.1)), learned(HierarchicalRNN.release(key=getkey())))
    cells = list(evaluate([noisy_quadratics], candidates, seeds=3, key=getkey()))
    first_losses = np.concatenate([cell.losses[:, :, 0] for cell in cells])
    np.testing.assert_allclose(first_losses, first_losses[:1].repeat(7, axis=0), rtol=1e-6)
    assert len(np.unique(first_losses[0])) == 3


def test_every_optimizer_gets_the_same_minibatches_and_noise(noisy_quadratics, getkey):
    def other_name(rate):
        return optax.chain(optax.identity(), optax.scale(-rate))

    key = getkey()
    one = evaluate_one(noisy_quadratics, Candidate("one", optax.sgd, (0.1,)), 3, key)
    two = evaluate_one(noisy_quadratics, Candidate("two", other_name, (0.1,)), 3, key)
    np.testing.assert_allclose(one.losses, two.losses, **ROUNDING)


def test_more_seeds_leave_the_first_ones_as_they_were(noisy_quadratics, getkey):
    key, candidate = getkey(), Candidate("SGD", optax.sgd, (0.01,))
    few = evaluate_one(noisy_quadratics, candidate, 2, key)
    many = evaluate_one(noisy_quadratics, candidate, 4, key)
    np.testing.assert_allclose(few.losses, many.losses[:, :2], **ROUNDING)


def test_a_diverging_trajectory_is_flagged_and_spoils_no_other(noisy_quadratics, getkey):
    key = getkey()
    mixed = evaluate_one(noisy_quadratics, Candidate("SGD", optax.sgd, (1e12, 0.01)), 3, key)
    alone = evaluate_one(noisy_quadratics, Candidate("SGD", optax.sgd, (0.01,)), 3, key)
    assert mixed.diverged[0].all()
    assert not mixed.diverged[1].any()
    assert (mixed.losses[0, :, -1] == np.inf).all()
    assert not np.isnan(mixed.losses).any()
    np.testing.assert_allclose(mixed.losses[1], alone.losses[0], **ROUNDING)


class _Line(Problem):
    """The loss is the one param."""

    slope: jax.Array

    def init(self, key):
        return jnp.ones((), jnp.float32)

    def loss(self, params, batch, key):
        return self.slope * params

    def draw(self, key):
        return self

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        return [cls(jnp.ones((), jnp.float32))]


class _LineTarget(Target):
    name: str = eqx.field(static=True, default="line")
    steps: int = eqx.field(static=True, default=3)
    record_every: int = eqx.field(static=True, default=1)

    def draw(self, key):
        return _Line(jnp.ones((), jnp.float32))

    def metrics(self, problem, params):
        return {"param": params, "undefined": jnp.log(-jnp.abs(params) - 1), "none": params * 0}

    def better(self):
        return {"param": "lower", "undefined": "lower", "none": "higher"}

    @classmethod
    def examples(cls) -> Sequence[Target]:
        return [cls()]


class _State(NamedTuple):
    theta: ParamsOffset


def _attending(rate):
    """Gradient descent whose user holds the params less 100."""

    def init(params):
        return _State(ParamsOffset(100 * jnp.ones_like(params)))

    def update(gradient, state, params=None):
        return -rate * gradient, state

    return optax.GradientTransformation(init, update)


def test_losses_and_metrics_are_measured_at_the_evaluation_params(getkey):
    cell = evaluate_one(_LineTarget(), Candidate("attending", _attending, (0.5,)), 2, getkey())
    np.testing.assert_allclose(cell.losses[0], np.tile([101, 100.5, 100, 99.5], (2, 1)))
    np.testing.assert_allclose(cell.metrics["param"], [[99.5, 99.5]])


def test_a_metric_that_is_not_a_number_becomes_the_worst_there_is(getkey):
    cell = evaluate_one(_LineTarget(), Candidate("SGD", optax.sgd, (0.5,)), 2, getkey())
    assert (cell.metrics["undefined"] == np.inf).all()
    assert (cell.metrics["none"] == 0).all()


def test_a_loss_that_comes_back_from_infinity_counts_as_diverged(getkey):
    def leaping(rate):
        """Leaps to infinity and back: params 1, infinite, 1, infinite."""

        def update(gradient, count, params=None):
            leap = jnp.where(count % 2 == 0, jnp.float32(3e38), -params + 1)
            return 2 * leap, count + 1

        return optax.GradientTransformation(lambda _: jnp.zeros((), jnp.int32), update)

    cell = evaluate_one(_LineTarget(), Candidate("leaping", leaping, (1.0,)), 2, getkey())
    assert cell.diverged.all()
    assert np.isinf(cell.losses[0, :, 1:]).all()


def test_extra_arguments_reach_a_transformation_that_takes_them(getkey):
    def by_value(rate):
        def update(gradient, state, params=None, *, value, **extra):
            return -value * gradient, state

        return optax.GradientTransformationExtraArgs(lambda _: optax.EmptyState(), update)

    cell = evaluate_one(_LineTarget(), Candidate("by value", by_value, (1.0,)), 2, getkey())
    np.testing.assert_allclose(cell.losses[0, 0], [1, 0, 0, 0])


def test_the_targets_own_arrays_are_not_copied_for_each_seed(getkey):
    from lopt.evaluation.targets.image_classification import ImageClassification

    target = ImageClassification.examples()[0]
    starts = jax.vmap(lambda key: begin(target, key))(seed_keys(getkey(), target.name, 3))
    assert jax.tree.leaves(starts.drawn) == []


def test_a_renamed_target_does_not_compile_again(noisy_quadratics, getkey):
    traced = []

    def counted(rate):
        traced.append(rate)
        return optax.sgd(rate)

    candidate, key = Candidate("SGD", counted, (0.01,)), getkey()
    evaluate_one(noisy_quadratics, candidate, 2, key)
    first = len(traced)
    evaluate_one(dataclasses.replace(noisy_quadratics, name="other"), candidate, 2, key)
    assert len(traced) == first


def test_another_optimizer_of_one_architecture_does_not_compile_again(getkey, monkeypatch):
    traced = []
    original = HierarchicalRNN.transformation

    def counted(self, rate):
        traced.append(rate)
        return original(self, rate)

    key = getkey()
    monkeypatch.setattr(HierarchicalRNN, "transformation", counted)
    evaluate_one(_LineTarget(), learned(HierarchicalRNN.release(key=getkey())), 2, key)
    first = len(traced)
    evaluate_one(_LineTarget(), learned(HierarchicalRNN.release(key=getkey())), 2, key)
    assert len(traced) == first


@pytest.mark.parametrize("rates", [(), (0.1, 0.1), (0.0,), (-1.0,), (float("inf"),)])
def test_learning_rates_that_make_no_sense_are_refused(rates):
    with pytest.raises(ValueError, match="learning rates"):
        Candidate("SGD", optax.sgd, rates)


def test_what_cannot_be_told_apart_or_has_no_interval_is_refused_before_any_work(getkey):
    target, sgd = _LineTarget(), Candidate("SGD", optax.sgd, (0.1,))
    with pytest.raises(ValueError, match=r"targets must have different names.*line"):
        evaluate([target, target], [sgd], 2, getkey())
    with pytest.raises(ValueError, match=r"candidates must have different names.*SGD"):
        evaluate([target], [sgd, sgd], 2, getkey())
    with pytest.raises(ValueError, match=r"at least two seeds.*received 1"):
        evaluate([target], [sgd], 1, getkey())
