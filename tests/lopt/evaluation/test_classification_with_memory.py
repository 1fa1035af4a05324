"""Laws of training networks with batch normalization, as a problem."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lopt.evaluation.classification_with_memory import ClassificationWithMemory, inferred
from lopt.evaluation.with_memory import loss_gradient_and_memory
from lopt.networks.inception import InceptionV3
from lopt.networks.resnet import resnet50
from lopt.problems.losses import cross_entropy


def problem():
    return ClassificationWithMemory.examples()[0]


def test_losses_are_reported_by_what_is_remembered(getkey):
    params, (images, labels) = problem().init(getkey()), problem().full_batch()
    memory = problem().init_memory()
    logits, later = params(images, memory, training=True)
    expected = [
        cross_entropy(params(images, of, training=False)[0], labels) for of in (memory, later)
    ]
    reported = [
        problem().loss_with_memory(params, of, (images, labels), getkey()) for of in (memory, later)
    ]
    np.testing.assert_allclose(reported, expected, rtol=1e-5)
    in_training, _ = problem().loss_and_memory(params, later, (images, labels), getkey())
    np.testing.assert_allclose(in_training, cross_entropy(logits, labels), rtol=1e-6)


def test_a_step_keeps_the_memorys_structure_and_changes_all_of_it(getkey):
    params, memory = problem().init(getkey()), problem().init_memory()
    step = jax.jit(lambda memory, key: loss_gradient_and_memory(problem(), params, memory, key)[2])
    later = step(memory, getkey())
    shapes = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree) for tree in (memory, later)]
    assert shapes[0] == shapes[1]
    assert not any(map(np.array_equal, jax.tree.leaves(memory), jax.tree.leaves(later)))


def test_the_memory_of_the_beginning_is_that_of_the_networks(getkey):
    network = problem().init(getkey())
    assert eqx.tree_equal(problem().init_memory(), network.init_memory())


def test_images_are_inferred_one_by_one(getkey):
    network, memory = problem().init(getkey()), problem().init_memory()
    images = jax.random.normal(getkey(), (5, 4, 4, 1), jnp.float32)
    logits, _ = network(images, memory, training=False)
    ours = inferred(network, memory, images, together=2)
    np.testing.assert_allclose(ours, logits, rtol=1e-5, atol=1e-6)


def large_resnet(key):
    return resnet50(4, channels=1, key=key)


def narrow_inception(key):
    return InceptionV3(4, channels=1, narrowing=8, key=key)


@pytest.mark.slow
@pytest.mark.parametrize(("network", "pixels"), [(large_resnet, 32), (narrow_inception, 75)])
def test_a_few_steps_of_the_papers_networks_lower_the_loss(network, pixels, getkey):
    images = jax.random.normal(getkey(), (4, pixels, pixels, 1), jnp.float32)
    labels = jnp.arange(4, dtype=jnp.int32)
    large = ClassificationWithMemory(images, labels, network=network, batch_size=8, measured=4)
    sgd, key = optax.sgd(0.01), getkey()

    @jax.jit
    def step(params, memory, state):
        loss, gradient, memory = loss_gradient_and_memory(large, params, memory, key)
        updates, state = sgd.update(gradient, state)
        return loss, optax.apply_updates(params, updates), memory, state

    params, memory, losses = eqx.filter_jit(large.init)(getkey()), large.init_memory(), []
    state = sgd.init(params)
    for _ in range(5):
        loss, params, memory, state = step(params, memory, state)
        losses.append(float(loss))
    assert losses[-1] < 0.7 * losses[0]
    measured = eqx.filter_jit(large.loss_with_memory)(params, memory, large.full_batch(), key)
    assert jnp.isfinite(measured)
