"""Seconds of steps: who is measured when, and what is made of it."""

import jax
import numpy as np
import optax
import pytest

from lopt.evaluation import Candidate
from lopt.evaluation.targets.held_out import HeldOut
from lopt.evaluation.targets.image_classification import ImageClassification
from lopt.figures import StepTime, step_times, step_times_figure

KEY = jax.random.key(0)
ADAM = Candidate("Adam", optax.adam, (1e-3, 1e-2))
SGD = Candidate("SGD", optax.sgd, (1e-2,))


@pytest.fixture(scope="module")
def rows() -> list[tuple[StepTime, ...]]:
    (target, *_) = ImageClassification.examples()
    measured = step_times(target, [ADAM, SGD], (2, 5), rounds=3, reading_seconds=1e-6, key=KEY)
    return list(measured)


def test_everybody_has_one_reading_a_round_and_sizes_come_one_after_another(rows):
    assert [{row.batch_size for row in of_size} for of_size in rows] == [{2}, {5}]
    for of_size in rows:
        turns = [(row.round, row.optimizer) for row in of_size]
        assert turns == [
            (0, "Adam"),
            (0, "SGD"),
            (1, "SGD"),
            (1, "Adam"),
            (2, "Adam"),
            (2, "SGD"),
        ]
        assert {row.learning_rate for row in of_size if row.optimizer == "Adam"} == {1e-3}
        assert all(row.seconds > 0 and row.steps >= 1 for row in of_size)


def test_a_problem_without_minibatches_is_refused_before_any_work():
    (target, *_) = HeldOut.examples()
    with pytest.raises(ValueError, match="has no minibatches whose size could be changed"):
        step_times(target, [SGD], (2,), key=KEY)


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"reading_seconds": 0.0}])
def test_numbers_that_are_not_positive_are_refused_before_any_work(wrong):
    (target, *_) = ImageClassification.examples()
    with pytest.raises(ValueError, match="must be positive"):
        step_times(target, [SGD], (2,), key=KEY, **wrong)


def readings() -> list[StepTime]:
    """Rounds that differ by a factor of ten, in each of which ours takes three times as long."""
    return [
        StepTime("digits/convnet-6", name, 1e-3, size, number, slow * 10.0**number, 1)
        for size in (1, 8)
        for number in range(3)
        for name, slow in (("learned", 3.0), ("Adam", 1.0))
    ]


def test_ratios_are_of_one_round_so_that_what_slows_all_cancels():
    drawn = step_times_figure(readings(), "Adam", "Seconds", "a device")
    left, right = drawn.figure.axes
    (ours,) = (line for line in right.lines if line.get_label() == "learned")
    np.testing.assert_allclose(ours.get_ydata(), [3.0, 3.0])
    medians = {line.get_label(): line.get_ydata() for line in left.lines}
    np.testing.assert_allclose(medians["learned"], [30.0, 30.0])
    np.testing.assert_allclose(medians["Adam"], [10.0, 10.0])
    assert drawn.summary.rows[0] == ("1", "1e+04", "3 (3 to 3)")
    assert len(drawn.tables["step_times"]) == len(readings())


def test_a_reference_that_was_not_measured_is_refused():
    with pytest.raises(ValueError, match="Ratios are to be to 'Lion'"):
        step_times_figure(readings(), "Lion", "Seconds", "a device")
