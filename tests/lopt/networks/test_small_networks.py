"""Laws of the networks of which many are trained side by side."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.networks.convnet import (
    ConvNet,
    Convolution,
    cifar_convnet,
    papers_convnet,
    six_layer_convnet,
)
from lopt.networks.initial import linear
from lopt.networks.mlp import MLP
from lopt.networks.softmax_regression import SoftmaxRegression
from lopt.networks.transformer import Transformer

NETWORKS = {
    "SoftmaxRegression": lambda shape, key: SoftmaxRegression(shape, 3, key=key),
    "MLP": lambda shape, key: MLP((35, 6, 3), activation="sigmoid", key=key),
    "ConvNet": lambda shape, key: ConvNet(shape, filters=(2, 3), classes=3, key=key),
    "papers_convnet": lambda shape, key: papers_convnet(shape, 3, activation="sigmoid", key=key),
    "six_layer_convnet": lambda shape, key: six_layer_convnet(shape, 3, key=key),
    "cifar_convnet": lambda shape, key: cifar_convnet(shape, 3, key=key),
    "Transformer": lambda shape, key: Transformer(shape, 3, width=4, heads=2, blocks=1, key=key),
}


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_a_tree_of_float32_arrays_that_gives_one_logit_a_class(name, getkey):
    params = eqx.filter_eval_shape(NETWORKS[name], (7, 5, 1), getkey())
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}
    logits = eqx.filter_eval_shape(params, jnp.ones((7, 5, 1), jnp.float32))
    assert (logits.shape, logits.dtype) == ((3,), jnp.float32)


@pytest.mark.parametrize(
    ("made", "shape", "published"),
    [
        (papers_convnet, (28, 28, 1), 64_402),
        (cifar_convnet, (32, 32, 3), 56_970),
        (lambda shape, classes, key: MLP((784, 64, classes), key=key), (28, 28, 1), 50_890),
    ],
    ids=["papers_convnet", "cifar_convnet", "papers_mlp"],
)
def test_a_published_network_has_as_many_params_as_published(made, shape, published, getkey):
    assert count(eqx.filter_eval_shape(lambda key: made(shape, 10, key=key), getkey())) == published


@pytest.mark.parametrize("shape", [(8, 8, 1), (7, 5, 3)])
@pytest.mark.parametrize(("window", "stride"), [(3, 2), (5, 1)])
def test_our_convolution_is_the_convolution(shape, window, stride, getkey):
    convolution = Convolution(shape[-1], 4, window, stride, key=getkey())
    image = jax.random.normal(getkey(), shape, jnp.float32)
    kernel = convolution.linear.weight.T.reshape(window, window, shape[-1], 4)
    expected = jax.lax.conv_general_dilated(
        image[None],
        kernel,
        (stride, stride),
        [(window // 2, window // 2)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )[0]
    ours = convolution(image) - convolution.linear.bias[None, None, :]
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


def test_an_mlp_begins_as_equinox_has_it(getkey):
    key = getkey()
    first, second = jax.random.split(key)
    layers = (eqx.nn.Linear(4, 3, key=first), eqx.nn.Linear(3, 2, key=second))
    assert eqx.tree_equal(MLP((4, 3, 2), key=key).layers, layers)


def test_weights_begin_with_the_deviation_of_their_initialization(getkey):
    layer = linear(128, 400, "he", key=getkey())
    np.testing.assert_allclose(layer.weight.std(), np.sqrt(2 / 128), rtol=0.02)
    np.testing.assert_allclose(layer.bias.std(), 0.1, rtol=0.15)
    assert linear(3, 2, "small", use_bias=False, key=getkey()).bias is None


def test_a_pooled_convnet_does_not_care_where_something_is(getkey):
    network = ConvNet((8, 8, 1), (2,), 3, strides=(1,), pooled=True, key=getkey())
    image = jnp.zeros((8, 8, 1), jnp.float32)
    here, there = image.at[2, 2].set(1.0), image.at[5, 4].set(1.0)
    np.testing.assert_allclose(network(here), network(there), rtol=1e-6)


def test_without_positions_a_transformer_does_not_care_for_the_order_of_rows(getkey):
    network = Transformer((6, 4, 1), 3, width=8, heads=2, key=getkey())
    image = jax.random.normal(getkey(), (6, 4, 1), jnp.float32)
    both = jnp.stack([image, image[::-1]])
    read = eqx.filter_jit(lambda network: jax.vmap(network)(both))
    upright, upside_down = read(network)
    assert not np.allclose(upright, upside_down, atol=1e-4)
    blind = eqx.tree_at(lambda n: n.positions, network, jnp.zeros_like(network.positions))
    upright, upside_down = read(blind)
    np.testing.assert_allclose(upright, upside_down, rtol=1e-5, atol=1e-6)


def test_networks_that_cannot_be_are_refused(getkey):
    with pytest.raises(ValueError, match=r"filters \(2, 3\), windows \(3,\)"):
        ConvNet((8, 8, 1), (2, 3), 10, windows=(3,), key=getkey())
    with pytest.raises(ValueError, match="needs filters"):
        ConvNet((8, 8, 1), (), 10, key=getkey())
    with pytest.raises(ValueError, match="3 heads do not divide a width of 8"):
        Transformer((8, 8, 1), 10, width=8, heads=3, key=getkey())
    with pytest.raises(ValueError, match="activation must be one of relu"):
        MLP((4, 2), activation="swish", key=getkey())
