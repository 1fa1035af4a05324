"""Laws of the networks with batch normalization, and of their layers."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.networks.batch_norm import BatchNorm, Moments, in_a_row, side_by_side
from lopt.networks.batched_convolution import Conv, average_pooled, max_pooled
from lopt.networks.inception import InceptionV3
from lopt.networks.initial import with_he_kernels
from lopt.networks.resnet import ResNetV2, resnet50

LARGE = {
    "resnet50": (lambda key: resnet50(1000, key=key), 25_568_360, 45_440),
    "InceptionV3": (lambda key: InceptionV3(1000, key=key), 23_817_352, 34_432),
}
SMALL = {
    "ResNetV2": (lambda key: ResNetV2((2, 3), (1, 2), 4, channels=1, key=key), 32),
    "InceptionV3": pytest.param(
        lambda key: InceptionV3(4, channels=1, narrowing=16, key=key), 75, marks=pytest.mark.slow
    ),
}
small = pytest.mark.parametrize(("made", "pixels"), SMALL.values(), ids=list(SMALL))


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def images_of(pixels, key, number=3):
    return jax.random.normal(key, (number, pixels, pixels, 1), jnp.float32)


@pytest.mark.parametrize(("made", "params", "remembered"), LARGE.values(), ids=list(LARGE))
def test_large_networks_have_as_many_numbers_as_published(made, params, remembered, getkey):
    network = eqx.filter_eval_shape(made, getkey())
    assert count(network) == params
    assert count(network.init_memory()) == remembered


def test_a_resnet_of_224_pixels_ends_with_49(getkey):
    network = eqx.filter_eval_shape(LARGE["resnet50"][0], getkey())

    def features(network, images):
        begun = max_pooled(network.stem(images), padding=1)
        return in_a_row(network.blocks, begun, network.init_memory()[0], training=True)[0]

    images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    assert eqx.filter_eval_shape(features, network, images).shape == (1, 7, 7, 2048)


def test_an_inception_of_299_pixels_has_the_papers_grids(getkey):
    network = eqx.filter_eval_shape(LARGE["InceptionV3"][0], getkey())

    def grids(network, images):
        before, of_blocks = network.init_memory()
        features, _ = in_a_row(network.before, images, before, training=True)
        seen = []
        for block, memory in zip(network.blocks, of_blocks, strict=True):
            seen.append(features)
            features, _ = side_by_side(block, features, memory, training=True)
        return [*seen, features]

    images = jax.ShapeDtypeStruct((1, 299, 299, 3), jnp.float32)
    shapes = [grid.shape[2:] for grid in eqx.filter_eval_shape(grids, network, images)]
    assert shapes == [
        (35, 192),
        (35, 256),
        *[(35, 288)] * 2,
        *[(17, 768)] * 5,
        (8, 1280),
        *[(8, 2048)] * 2,
    ]


@small
def test_the_memory_changes_no_logit_in_training_and_nothing_else_does_in_inference(
    made, pixels, getkey
):
    network = made(getkey())
    images, begun = images_of(pixels, getkey()), network.init_memory()
    run = eqx.filter_jit(lambda memory, images: network(images, memory, training=True))
    logits, memory = run(begun, images)
    again, _ = run(memory, images)
    np.testing.assert_array_equal(logits, again)
    assert jax.tree.structure(memory) == jax.tree.structure(begun)
    assert not any(map(np.array_equal, jax.tree.leaves(memory), jax.tree.leaves(begun)))
    infer = eqx.filter_jit(lambda images: network(images, memory, training=False))
    logits, kept = infer(images)
    assert eqx.tree_equal(kept, memory)
    np.testing.assert_allclose(infer(images[:1])[0], logits[:1], rtol=1e-4, atol=1e-5)


@small
def test_too_few_pixels_are_refused(made, pixels, getkey):
    network = eqx.filter_eval_shape(made, getkey())
    with pytest.raises(ValueError, match=f"at least {pixels} x {pixels} pixels; received"):
        network(images_of(pixels - 1, getkey()), network.init_memory(), training=True)


def test_batch_normalization_has_mean_0_and_variance_1_in_training(getkey):
    features = 3 + 2 * jax.random.normal(getkey(), (5, 4, 3, 2), jnp.float32)
    norm = BatchNorm(2, epsilon=1e-6)
    normed, _ = norm(features, norm.init_memory(), training=True)
    np.testing.assert_allclose(normed.mean(axis=(0, 1, 2)), [0, 0], atol=1e-6)
    np.testing.assert_allclose(normed.var(axis=(0, 1, 2)), [1, 1], rtol=1e-5)


def test_who_has_seen_one_batch_for_long_infers_as_in_training(getkey):
    features = 3 + 2 * jax.random.normal(getkey(), (5, 4, 3, 2), jnp.float32)
    norm = eqx.tree_at(lambda norm: norm.scale, BatchNorm(2, epsilon=1e-3), jnp.array([2.0, 0.5]))

    def see(_, memory):
        return norm(features, memory, training=True)[1]

    memory = jax.lax.fori_loop(0, 2000, see, norm.init_memory())
    assert isinstance(memory, Moments)
    in_training, _ = norm(features, memory, training=True)
    in_inference, _ = norm(features, memory, training=False)
    np.testing.assert_allclose(in_inference, in_training, rtol=1e-4, atol=1e-4)


def test_averages_leave_a_constant_image_as_it_is():
    images = jnp.full((1, 4, 5, 2), 7.0)
    np.testing.assert_allclose(average_pooled(images), images, rtol=1e-6)


def test_kernels_begin_as_he_et_al_have_it_and_biases_with_0(getkey):
    layer = with_he_kernels(Conv((3, 3), 16, 200, use_bias=True), getkey())
    np.testing.assert_allclose(layer.kernel.std(), np.sqrt(2 / 144), rtol=0.02)
    assert not layer.bias.any()
