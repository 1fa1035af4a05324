"""What every network keeps that a target may be made of, over every one that is found."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest

from lopt.evaluation.named_targets import networks_by_name
from lopt.problems.losses import cross_entropy

NETWORKS = networks_by_name()
every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=list(NETWORKS))


def smallest_shape(network):
    return network.smallest, network.smallest, network.channels or 1


def logits_of(network, params, images):
    if network.remembers:
        return params(images, params.init_memory(), training=True)[0]
    return jax.vmap(params)(images)


def test_networks_are_found():
    assert {"softmax", "mlp", "convnet", "transformer", "resnet50"} <= set(NETWORKS)


@every_network
def test_a_network_is_a_tree_of_float32_arrays_that_gives_one_logit_a_class(network, getkey):
    shape = smallest_shape(network)
    assert network.refusal(shape) is None
    params = eqx.filter_eval_shape(lambda key: network.make(shape, 3, key=key), getkey())
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}
    images = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    logits = eqx.filter_eval_shape(lambda *given: logits_of(network, *given), params, images)
    assert (logits.shape, logits.dtype) == ((2, 3), jnp.float32)


@every_network
def test_a_network_refuses_smaller_images_and_other_channels(network):
    side, _, channels = smallest_shape(network)
    if network.smallest > 1:
        assert f"{side} x {side} pixels" in network.refusal((side, side - 1, channels))
    if network.channels:
        assert f"{channels} channels" in network.refusal((side, side, channels + 1))


@pytest.mark.slow
@every_network
def test_a_small_step_of_gradient_descent_lowers_the_loss(network, getkey):
    shape = smallest_shape(network)
    images = jax.random.normal(getkey(), (6, *shape), jnp.float32)
    labels = jnp.arange(6, dtype=jnp.int32) % 3

    def loss(params):
        return cross_entropy(logits_of(network, params, images), labels)

    @jax.jit
    def step(params):
        lost, gradient = jax.value_and_grad(loss)(params)
        # As long for the flattest, whose loss would otherwise change by less than its last digit.
        rate = 1e-3 / optax.tree.norm(gradient)
        moved = jax.tree.map(lambda param, slope: param - rate * slope, params, gradient)
        return lost, moved

    first, params = step(network.make(shape, 3, key=getkey()))
    second, _ = step(params)
    assert jnp.isfinite(first)
    assert second < first
