"""Laws of the networks and of the problem of training them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.evaluation.classification import Classification
from lopt.evaluation.networks import MLP, ConvNet, Convolution
from lopt.problems import loss_and_gradient


@pytest.mark.parametrize("shape", [(8, 8, 1), (7, 5, 3)])
def test_our_convolution_is_the_convolution(shape, getkey):
    convolution = Convolution(shape[-1], 4, key=getkey())
    image = jax.random.normal(getkey(), shape, jnp.float32)
    kernel = convolution.linear.weight.T.reshape(3, 3, shape[-1], 4)
    expected = jax.lax.conv_general_dilated(
        image[None], kernel, (2, 2), [(1, 1), (1, 1)], dimension_numbers=("NHWC", "HWIO", "NHWC")
    )[0]
    ours = convolution(image) - convolution.linear.bias[None, None, :]
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "network",
    [
        lambda key: MLP((35, 6, 3), key=key),
        lambda key: ConvNet((7, 5, 1), filters=(2, 3), classes=3, key=key),
    ],
    ids=["MLP", "ConvNet"],
)
def test_a_network_is_a_tree_of_float32_arrays_that_gives_one_logit_a_class(network, getkey):
    params = network(getkey())
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}
    assert params(jnp.ones((7, 5, 1), jnp.float32)).shape == (3,)


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
