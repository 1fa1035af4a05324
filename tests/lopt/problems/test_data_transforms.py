"""The laws of transforms that change what data an optimizer sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.problems import (
    Bowl,
    FullyConnected,
    ImageMLP,
    LogObjective,
    Quadratic,
    Rescale,
    SoftmaxRegression,
    Sum,
)
from lopt.problems.batch_size import BatchSize
from lopt.problems.conditions import Conditions
from lopt.problems.images import striped_images
from lopt.problems.labels import LabelNoise
from tests.lopt.trees import assert_equal

KEY = jax.random.key(0)
MINIBATCHES = SoftmaxRegression(features=3, classes=3, samples=24, batch_size=5, key=KEY)
IN_ORDER = SoftmaxRegression(features=3, classes=3, samples=24, batch_size=24, key=KEY)


def repeated_images():
    stripes = striped_images(8, (2, 2, 1), classes=2)
    sizes = {"hidden": (), "samples": 8, "batch_size": 3, "batch_padded_to": 6}
    return ImageMLP(data_set=stripes, **sizes, key=KEY)


def row_numbers(problem, batch):
    """Return for each row of a batch which row of the data it is."""
    inputs, labels = batch
    all_inputs, all_labels = problem.full_batch()
    is_same = (inputs[:, None, :] == all_inputs[None, :, :]).all(axis=-1)
    assert is_same.any(axis=1).all()
    numbers = np.asarray(jnp.argmax(is_same, axis=1))
    np.testing.assert_array_equal(labels, all_labels[numbers])
    return numbers


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.9])
def test_noisy_labels_are_replaced_by_any_label_alike(probability, getkey):
    noisy = LabelNoise(
        SoftmaxRegression(features=3, classes=3, samples=6000, batch_size=6000, key=KEY),
        probability=probability,
    )
    inputs, labels = noisy.sample_batch(getkey())
    right_inputs, right = noisy.full_batch()
    np.testing.assert_array_equal(inputs, right_inputs)
    for label in range(3):
        of_class = np.asarray(labels)[np.asarray(right) == label]
        share = np.bincount(of_class, minlength=3) / len(of_class)
        expected = np.full(3, probability / 3)
        expected[label] += 1 - probability
        np.testing.assert_allclose(share, expected, atol=5 * np.sqrt(0.25 / len(of_class)))


def test_labels_are_wrong_anew_at_every_step_and_right_for_the_meta_loss(getkey):
    noisy = LabelNoise(IN_ORDER, probability=0.5)
    (_, first), (_, second) = noisy.sample_batch(getkey()), noisy.sample_batch(getkey())
    assert (first != second).any()
    assert_equal(noisy.full_batch(), IN_ORDER.full_batch())


def test_without_noise_the_labels_of_a_minibatch_are_right(getkey):
    row_numbers(MINIBATCHES, LabelNoise(MINIBATCHES, probability=0.0).sample_batch(getkey()))


def test_the_number_of_classes_is_found_behind_other_transforms(getkey):
    network = FullyConnected(features=2, hidden=(), samples=40, batch_size=40, key=KEY)
    inner = BatchSize(Conditions(LogObjective(network), noise=1.0), batch_size=30)
    _, labels = LabelNoise(inner, probability=0.99).sample_batch(getkey())
    assert set(np.asarray(labels).tolist()) == {0, 1}


@pytest.mark.parametrize("inner", [MINIBATCHES, IN_ORDER], ids=["minibatches", "in order"])
@pytest.mark.parametrize("batch_size", [5, 7, 30])
def test_a_minibatch_has_the_stated_size_and_rows_of_the_data(inner, batch_size, getkey):
    problem = BatchSize(inner, batch_size=batch_size)
    numbers = row_numbers(inner, problem.sample_batch(getkey()))
    assert len(numbers) == batch_size
    assert_equal(problem.full_batch(), inner.full_batch())


@pytest.mark.parametrize("batch_size", [1, 40])
def test_every_row_is_as_likely_as_any_other_even_if_they_come_in_order(batch_size, getkey):
    problem = BatchSize(IN_ORDER, batch_size=batch_size)
    batches = jax.vmap(problem.sample_batch)(jax.random.split(getkey(), 2400 // batch_size))
    inputs, labels = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), batches)
    counts = np.bincount(row_numbers(IN_ORDER, (inputs, labels)), minlength=24)
    np.testing.assert_allclose(counts, 100, atol=50)


def test_rows_of_data_in_order_are_not_drawn_twice_before_all_are_drawn(getkey):
    numbers = row_numbers(IN_ORDER, BatchSize(IN_ORDER, batch_size=20).sample_batch(getkey()))
    assert len(set(numbers.tolist())) == 20
    assert (np.diff(numbers) < 0).any()


def test_the_loss_of_a_larger_minibatch_is_less_noisy(getkey):
    params, keys = MINIBATCHES.init(getkey()), jax.random.split(getkey(), 400)

    def deviation(problem):
        batches = jax.vmap(problem.sample_batch)(keys)
        return float(jax.vmap(lambda batch: problem.loss(params, batch, KEY))(batches).std())

    small, large = deviation(MINIBATCHES), deviation(BatchSize(MINIBATCHES, batch_size=45))
    np.testing.assert_allclose(small / large, 3.0, rtol=0.2)


def test_parts_of_a_sum_without_data_do_not_keep_the_others_from_another_batch_size(getkey):
    problem = BatchSize(Sum([MINIBATCHES, Bowl(condition_number=5.0)]), batch_size=7)
    (inputs, labels), nothing = problem.sample_batch(getkey())
    assert (inputs.shape, labels.shape, nothing) == ((7, 3), (7,), None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: LabelNoise(Rescale(Bowl(condition_number=5.0), scale=2.0), probability=0.1),
            "The labels of Bowl cannot be noisy, because it has none",
        ),
        (
            lambda: LabelNoise(Sum([MINIBATCHES]), probability=0.1),
            "The labels of Sum cannot be noisy",
        ),
        (
            lambda: LabelNoise(Rescale(repeated_images(), scale=2.0), probability=0.1),
            r"of ImageMLP repeat their rows .* batch_padded_to=6, .* batch_padded_to at 0",
        ),
        (lambda: LabelNoise(MINIBATCHES, probability=1.0), "probability .* below 1, but is 1.0"),
        (lambda: BatchSize(MINIBATCHES, batch_size=0), "batch_size .* at least 1, but is 0"),
        (
            lambda: BatchSize(Quadratic(dimensions=2, key=KEY), batch_size=4),
            r"Quadratic has no minibatches of another size, .* shapes are \[\]",
        ),
        (
            lambda: BatchSize(Sum([MINIBATCHES, IN_ORDER]), batch_size=4),
            r"Sum has no minibatches of another size, .* \[\(5, 3\), \(5,\), \(24, 3\), \(24,\)",
        ),
    ],
)
def test_data_that_there_are_not_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
