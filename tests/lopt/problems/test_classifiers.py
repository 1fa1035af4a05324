"""Small classifiers and the data generated for them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.problems import FullyConnected, SoftmaxRegression
from lopt.problems.generated_data import Samples, hypercube_clusters, teacher_labels

clusters = jax.jit(hypercube_clusters, static_argnums=(1, 2, 3))
teacher = jax.jit(teacher_labels, static_argnums=(1, 2))


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_the_loss_is_the_cross_entropy_and_a_thousandth_of_the_mean_squared_norm(
    activation, getkey
):
    problem = FullyConnected(
        features=3, hidden=(4, 5), activation=activation, samples=16, batch_size=8, key=getkey()
    )
    params, (inputs, labels) = problem.init(getkey()), problem.full_batch()
    assert [leaf.shape for leaf in jax.tree.leaves(params)] == [
        (3, 4), (4,), (4, 5), (5,), (5, 2), (2,)
    ]  # fmt: skip
    by_hand = {
        "relu": lambda x: np.maximum(x, 0),
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "tanh": np.tanh,
    }[activation]
    units, tensors = np.float64(inputs), [np.float64(leaf) for leaf in jax.tree.leaves(params)]
    for weights, bias in (tensors[0:2], tensors[2:4]):
        units = by_hand(units @ weights + bias)
    exponentials = np.exp(units @ tensors[4] + tensors[5])
    chosen = exponentials[np.arange(16), labels] / exponentials.sum(axis=1)
    penalty = 1e-3 * np.mean([np.sum(tensor**2) for tensor in tensors])
    loss = problem.loss(params, (inputs, labels), getkey())
    np.testing.assert_allclose(loss, penalty - np.log(chosen).mean(), rtol=1e-5)


def test_softmax_regression_is_a_classifier_without_hidden_layers(getkey):
    problem = SoftmaxRegression(features=4, classes=3, samples=9, batch_size=4, key=getkey())
    ((weights, bias),) = problem.init(getkey())
    assert (weights.shape, bias.shape) == ((4, 3), (3,))
    zero = ((jnp.zeros_like(weights), jnp.zeros_like(bias)),)
    loss = problem.loss(zero, problem.full_batch(), getkey())
    np.testing.assert_allclose(loss, np.log(3.0), rtol=1e-6)


def test_initial_tensors_have_the_deviation_that_their_first_axis_gives(getkey):
    problem = FullyConnected(features=100, hidden=(400,), samples=2, batch_size=1, key=getkey())
    for leaf in jax.tree.leaves(problem.init(getkey()))[:2]:
        np.testing.assert_allclose(leaf.std(), 1.2 / np.sqrt(leaf.shape[0]), rtol=0.15)


@pytest.mark.parametrize("seed", range(5))
def test_both_labels_of_the_teacher_are_as_frequent(seed):
    inputs, labels = teacher(jax.random.key(seed), 101, 8)
    assert (inputs.shape, labels.dtype) == ((101, 8), jnp.int32)
    assert int(labels.sum()) == 50


def test_clusters_are_around_different_corners_of_the_hypercube():
    for seed in range(5):
        # 8 clusters fill all corners of a cube: the spread within them is nothing beside 1000.
        inputs, _ = clusters(jax.random.key(seed), 80, 3, 4, jnp.float32(1000.0))
        signs = np.sign(inputs).reshape(10, 8, 3)
        assert (signs == signs[:1]).all()
        assert len(np.unique(signs[0], axis=0)) == 8


def test_classes_are_balanced_but_for_a_few_flipped_labels():
    _, labels = clusters(jax.random.key(0), 4000, 5, 2, jnp.float32(1.0))
    intended = np.arange(4000) % 4 % 2
    flipped = float((labels != intended).mean())
    # One label in a hundred is drawn anew, and half of these come out as they were.
    assert 0.001 < flipped < 0.01
    assert set(np.unique(labels)) == {0, 1}


def test_samples_within_a_cluster_are_mixed_by_a_matrix_of_the_cluster():
    inputs, _ = clusters(jax.random.key(3), 8000, 3, 2, jnp.float32(1.0))
    covariances = [np.cov(np.asarray(inputs)[cluster::4].T) for cluster in range(4)]
    assert not np.allclose(covariances[0], covariances[1], atol=0.1)
    # Rows of a matrix with entries uniform in (-1, 1) give variances of 3 times 1/3 on average.
    assert 0.3 < np.mean([np.diag(one) for one in covariances]) < 2.0


def test_a_minibatch_consists_of_samples_with_their_labels(getkey):
    inputs = jnp.arange(20, dtype=jnp.float32)[:, None]
    samples = Samples(inputs, jnp.arange(20, dtype=jnp.int32), batch_size=7)
    some_inputs, some_labels = samples.minibatch(getkey())
    assert some_inputs.shape == (7, 1)
    np.testing.assert_array_equal(some_inputs[:, 0].astype(jnp.int32), some_labels)
    _, other_labels = samples.minibatch(getkey())
    assert (some_labels != other_labels).any()


def test_a_batch_as_large_as_the_data_is_the_data(getkey):
    samples = Samples(jnp.ones((4, 1), jnp.float32), jnp.arange(4, dtype=jnp.int32), batch_size=9)
    np.testing.assert_array_equal(samples.minibatch(getkey())[1], jnp.arange(4))


def test_two_classes_are_mostly_separable_when_their_clusters_are_far_apart(getkey):
    problem = SoftmaxRegression(
        features=2, samples=200, batch_size=200, separation=8.0, key=getkey()
    )
    inputs, labels = problem.full_batch()
    corners = np.sign(inputs) @ np.array([1, 2])
    purity = [np.mean(labels[corners == corner]) for corner in np.unique(corners)]
    assert all(min(share, 1 - share) < 0.1 for share in purity)


@pytest.mark.parametrize(
    ("made", "arguments", "message"),
    [
        (SoftmaxRegression, {"features": 1}, "features must be .* at least 2, but is 1"),
        (SoftmaxRegression, {"features": 9, "classes": 1}, "classes must be .* at least 2"),
        (SoftmaxRegression, {"features": 9, "batch_size": 0}, "batch_size must be .* least 1"),
        (SoftmaxRegression, {"features": 9, "separation": 0.0}, "separation must be .* above 0"),
        (FullyConnected, {"features": 0}, "features must be .* at least 1, but is 0"),
        (FullyConnected, {"features": 3, "hidden": (4, 0)}, "hidden must be .* least 1, but is 0"),
        (
            FullyConnected,
            {"features": 3, "activation": "step"},
            "one of relu, tanh, sigmoid, silu, but is .step",
        ),
        (FullyConnected, {"features": 3, "samples": 1}, "samples must be .* at least 2"),
    ],
)
def test_sizes_out_of_range_are_refused(made, arguments, message, getkey):
    with pytest.raises(ValueError, match=message):
        made(**arguments, key=getkey())
