"""Transforms compose: any stack of them over any problem is a problem."""

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lopt.problems import (
    Bowl,
    GradientNoise,
    LogObjective,
    Rescale,
    SoftmaxRegression,
    SparseGradient,
    Sum,
    loss_and_gradient,
)
from lopt.problems.bad_initialization import BadInitialization
from lopt.problems.batch_size import BatchSize
from lopt.problems.conditions import Conditions
from lopt.problems.labels import LabelNoise
from lopt.problems.programs import program_digest
from lopt.problems.rescale_each import RescaleEach
from lopt.problems.rotation import RandomRotation

KEY = jax.random.key(0)
BASE = SoftmaxRegression(features=2, samples=8, batch_size=3, key=KEY)

TRANSFORMS = {
    "BadInitialization": lambda inner: BadInitialization(inner, factor=2.0, shift=0.5),
    "BatchSize": lambda inner: BatchSize(inner, batch_size=4),
    "Conditions": lambda inner: Conditions(inner, scale=0.5, logarithm=True, zeroed=0.1),
    "GradientNoise": lambda inner: GradientNoise(inner, std=0.1),
    "LabelNoise": lambda inner: LabelNoise(inner, probability=0.2),
    "LogObjective": LogObjective,
    "RandomRotation": lambda inner: RandomRotation(inner, key=KEY),
    "Rescale": lambda inner: Rescale(inner, scale=3.0),
    "RescaleEach": lambda inner: RescaleEach(inner, key=KEY),
    "SparseGradient": lambda inner: SparseGradient(inner, probability=0.5),
}


def signature(tree):
    leaves, structure = jax.tree.flatten(tree)
    return structure, [(leaf.shape, leaf.dtype) for leaf in leaves]


def stacked(names, problem):
    """Put the transforms around a problem, the first one innermost."""
    for name in names:
        problem = TRANSFORMS[name](problem)
    return problem


def assert_is_a_problem_that_draws_its_like(problem, key):
    params = problem.init(key)
    loss, gradient = loss_and_gradient(problem, params, key)
    assert 0 <= loss < jnp.inf
    assert signature(gradient) == signature(params)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    drawn = problem.draw(key)
    assert program_digest(drawn) == program_digest(problem)
    assert signature(drawn) == signature(problem)
    assert signature(drawn.init(key)) == signature(params)


# Around a sum as well, but for wrong labels: a sum has no labels of its own.
BELOW, ABOVE = sorted(TRANSFORMS), sorted(set(TRANSFORMS) - {"LabelNoise"})


@settings(max_examples=6)
@given(
    st.lists(st.sampled_from(BELOW), max_size=3),
    st.lists(st.sampled_from(ABOVE), max_size=1),
    st.integers(0, 1000),
)
def test_any_stack_of_transforms_is_a_problem_that_draws_its_like(below, above, seed):
    problem = stacked(below, BASE)
    if above:
        problem = stacked(above, Sum([problem, Bowl(condition_number=5.0)]))
    assert_is_a_problem_that_draws_its_like(problem, jax.random.key(seed))


@pytest.mark.slow
@pytest.mark.parametrize("outer", BELOW)
@pytest.mark.parametrize("inner", BELOW)
def test_every_transform_goes_around_every_transform(inner, outer, getkey):
    assert_is_a_problem_that_draws_its_like(stacked([inner, outer], BASE), getkey())
