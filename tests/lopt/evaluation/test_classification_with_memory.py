"""Laws of training networks with batch normalization, as a problem."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from lopt.evaluation.classification_with_memory import ClassificationWithMemory, inferred
from lopt.evaluation.with_memory import loss_gradient_and_memory
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
