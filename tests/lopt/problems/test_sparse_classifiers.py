"""Classifiers of whole numbers, and the parities they have to learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.problems import loss_and_gradient
from lopt.problems.sparse_classifiers import (
    OneHotSparseSoftmaxRegression,
    SparseSoftmaxRegression,
    noisy_parity,
)

step = jax.jit(loss_and_gradient)
full_loss = jax.jit(lambda problem, params, key: problem.loss(params, problem.full_batch(), key))
BOTH = (SparseSoftmaxRegression, OneHotSparseSoftmaxRegression)


@pytest.mark.parametrize("made", BOTH)
def test_the_loss_is_that_of_a_softmax_on_summed_embeddings(made, getkey):
    problem = made(features=4, classes=3, ids=2, samples=7, key=getkey())
    params, (ids, labels) = problem.init(getkey()), problem.full_batch()
    assert [leaf.shape for leaf in params] == [(3, 4), (4, 3), (3,)]
    table, weights, bias = map(np.float64, params)
    cross_entropies = []
    for row, label in zip(np.asarray(ids), np.asarray(labels), strict=True):
        logits = sum(table[one] for one in row) @ weights + bias
        cross_entropies.append(np.log(np.exp(logits).sum()) - logits[label])
    penalty = 1e-3 * np.mean([np.sum(one**2) for one in (table, weights, bias)])
    loss = full_loss(problem, params, getkey())
    np.testing.assert_allclose(loss, np.mean(cross_entropies) + penalty, rtol=1e-5)


def test_both_have_the_same_data_and_the_same_gradients(getkey):
    key, init_key = getkey(), getkey()
    sparse, one_hot = (made(features=5, key=key) for made in BOTH)
    params = sparse.init(init_key)
    one, other = (step(problem, params, key) for problem in (sparse, one_hot))
    jax.tree.map(np.testing.assert_array_equal, params, one_hot.init(init_key))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-6), one, other)


def test_an_id_that_is_not_in_the_batch_has_only_the_penalty_for_a_gradient(getkey):
    problem = SparseSoftmaxRegression(features=5, key=getkey())
    params = problem.init(getkey())
    batch = (jnp.ones((1, 5), jnp.int32), jnp.zeros(1, jnp.int32))
    gradient = jax.grad(problem.loss)(params, batch, getkey())[0]
    np.testing.assert_allclose(gradient[0], 2e-3 / 3 * params[0][0], rtol=1e-5)
    assert (jnp.abs(gradient[1]) > 1e-3).any()


def test_labels_are_parities_of_which_some_are_one_too_high():
    ids, labels = noisy_parity(jax.random.key(0), (4000, 5), 3, jnp.float32(0.25))
    assert (ids.shape, ids.dtype, labels.dtype) == ((4000, 5), jnp.int32, jnp.int32)
    assert set(np.unique(ids)) == set(np.unique(labels)) == {0, 1, 2}
    off = (np.asarray(labels) - np.asarray(ids).sum(axis=1)) % 3
    assert set(off) == {0, 1}
    np.testing.assert_allclose(off.mean(), 0.25, atol=0.03)


def test_a_batch_larger_than_the_data_is_the_data_and_a_smaller_one_is_not(getkey):
    whole = SparseSoftmaxRegression(features=5, key=getkey())
    jax.tree.map(np.testing.assert_array_equal, whole.sample_batch(getkey()), whole.full_batch())
    assert whole.labels.shape == (5,)
    part = SparseSoftmaxRegression(features=5, samples=50, batch_size=9, key=getkey())
    ids, labels = part.sample_batch(getkey())
    assert (ids.shape, labels.shape) == ((9, 5), (9,))
    rows = {
        (*row, label) for row, label in zip(part.ids.tolist(), part.labels.tolist(), strict=True)
    }
    assert {(*row, label) for row, label in zip(ids.tolist(), labels.tolist(), strict=True)} <= rows


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": 0}, "features must be .* at least 1, but is 0"),
        ({"features": 2, "classes": 1}, "classes must be .* at least 2, but is 1"),
        ({"features": 2, "ids": 0}, "ids must be .* at least 1, but is 0"),
        ({"features": 2, "samples": 0}, "samples must be .* at least 1, but is 0"),
        ({"features": 2, "batch_size": 0}, "batch_size must be .* at least 1, but is 0"),
        ({"features": 2, "noise": 1.0}, "noise must be .* below 1, but is 1.0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message, getkey):
    with pytest.raises(ValueError, match=message):
        SparseSoftmaxRegression(**arguments, key=getkey())
