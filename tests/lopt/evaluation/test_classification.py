"""Laws of training a network to classify images, as a problem."""

import jax
import jax.numpy as jnp
import numpy as np

from lopt.evaluation.classification import Classification
from lopt.problems import loss_and_gradient


def test_a_minibatch_holds_images_with_their_own_labels(getkey):
    labels = jnp.arange(10, dtype=jnp.int32)
    images = jnp.broadcast_to(labels[:, None, None, None].astype(jnp.float32), (10, 2, 2, 1))
    problem = Classification(
        images, labels, network=Classification.examples()[0].network, batch_size=50, measured=4
    )
    seen, of = problem.sample_batch(getkey())
    np.testing.assert_array_equal(seen[:, 0, 0, 0].astype(jnp.int32), of)
    assert len(np.unique(of)) > 5


def test_minibatch_gradients_average_to_the_gradient_over_all_images(getkey):
    problem = Classification.examples()[0]
    whole = Classification(
        problem.images, problem.labels, network=problem.network, batch_size=4, measured=12
    )
    params = problem.init(getkey())
    exact = jax.grad(problem.loss)(params, whole.full_batch(), getkey())
    keys = jax.random.split(getkey(), 1000)
    gradients = jax.vmap(lambda key: loss_and_gradient(problem, params, key)[1])(keys)
    for mean, expected in zip(
        jax.tree.leaves(jax.tree.map(lambda g: g.mean(0), gradients)),
        jax.tree.leaves(exact),
        strict=True,
    ):
        # Four standard errors of a mean over 1000 minibatches of entries of order 0.3.
        np.testing.assert_allclose(mean, expected, atol=4 * 0.3 / np.sqrt(1000))
