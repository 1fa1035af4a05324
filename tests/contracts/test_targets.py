"""What every evaluation target keeps, over every one that is found."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lopt.evaluation.targets
from lopt.catalogue import concrete_classes
from lopt.evaluation import Candidate, evaluate_one
from lopt.evaluation.target import Target

CLASSES = concrete_classes(lopt.evaluation.targets, Target)
EXAMPLES = [
    pytest.param(example, id=f"{name}-{index}")
    for name, cls in CLASSES.items()
    for index, example in enumerate(cls.examples())
]
SGD = Candidate("SGD", optax.sgd, (0.01, 0.1))


def test_targets_are_found_and_bring_examples():
    assert {"HeldOut", "ImageClassification"} <= set(CLASSES)
    assert all(cls.examples() for cls in CLASSES.values())


@pytest.mark.parametrize("target", EXAMPLES)
def test_one_key_draws_one_problem_and_every_key_the_same_structure(target, getkey):
    key = getkey()
    first, again, other = target.draw(key), target.draw(key), target.draw(getkey())
    assert eqx.tree_equal(first, again)
    assert jax.tree.structure(first) == jax.tree.structure(other)
    shapes = [[(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(p)] for p in (first, other)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("target", EXAMPLES)
def test_metrics_are_finite_float32_scalars_each_with_a_direction(target, getkey):
    problem = target.draw(getkey())
    metrics = target.metrics(problem, problem.init(getkey()))
    assert set(metrics) == set(target.better())
    assert set(target.better().values()) <= {"lower", "higher"}
    for value in metrics.values():
        assert value.shape == ()
        assert value.dtype == jnp.float32
        assert jnp.isfinite(value)


@pytest.mark.parametrize("target", EXAMPLES)
def test_a_cell_has_a_number_for_every_rate_seed_and_recorded_step(target, getkey):
    cell = evaluate_one(target, SGD, seeds=3, key=getkey())
    records = target.steps // target.record_every + 1
    assert cell.losses.shape == (2, 3, records)
    assert cell.steps[0] == 0
    assert cell.steps[-1] == target.steps
    assert not np.isnan(cell.losses).any()
    assert {value.shape for value in cell.metrics.values()} <= {(2, 3)}


@pytest.mark.parametrize("target", EXAMPLES)
def test_a_small_step_of_gradient_descent_lowers_the_mean_loss(target, getkey):
    cell = evaluate_one(target, Candidate("SGD", optax.sgd, (1e-3,)), seeds=8, key=getkey())
    assert cell.losses[0, :, -1].mean() < cell.losses[0, :, 0].mean()


@pytest.mark.parametrize("target", EXAMPLES)
def test_a_target_can_be_given_other_steps_and_another_name(target):
    longer = dataclasses.replace(target, name="other", steps=2 * target.steps)
    assert longer.name == "other"
    assert longer.steps == 2 * target.steps


@pytest.mark.parametrize("target", EXAMPLES)
def test_steps_that_would_not_record_the_last_loss_are_refused(target):
    with pytest.raises(ValueError, match="divide"):
        dataclasses.replace(target, steps=3, record_every=2)
