"""Networks on images against NumPy in float64, and what padding does not change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.problems import loss_and_gradient
from lopt.problems.image_autoencoder import ImageAutoencoder
from lopt.problems.image_convnet import ImageConvNet
from lopt.problems.image_mlp import ImageMLP
from lopt.problems.images import striped_images
from lopt.problems.labels import LabelNoise
from lopt.problems.programs import program_digest
from tests.lopt.trees import assert_equal

SHAPE = (4, 3, 2)
STRIPES = striped_images(40, SHAPE, classes=3)
# Nothing but what has to be trained differs.
FEW = {"data_set": STRIPES, "samples": 10, "batch_size": 4, "key": jax.random.key(3)}


def numbers(tree):
    return [np.float64(leaf) for leaf in jax.tree.leaves(tree)]


def by_hand(layers, units):
    """Fully connected layers with tanh between them."""
    for index in range(0, len(layers) - 2, 2):
        units = np.tanh(units @ layers[index] + layers[index + 1])
    return units @ layers[-2] + layers[-1]


def cross_entropy_by_hand(logits, labels):
    return np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels])


def full_loss(problem, params):
    return problem.loss(params, problem.full_batch(), jax.random.key(0))


def test_an_mlp_loses_the_mean_cross_entropy(getkey):
    problem = ImageMLP(**FEW, hidden=(5, 4), activation="tanh")
    params, (images, labels) = problem.init(getkey()), problem.full_batch()
    assert [leaf.shape for leaf in jax.tree.leaves(params)] == [
        (24, 5), (5,), (5, 4), (4,), (4, 3), (3,)
    ]  # fmt: skip
    logits = by_hand(numbers(params), np.float64(images).reshape(10, -1))
    expected = cross_entropy_by_hand(logits, np.asarray(labels))
    np.testing.assert_allclose(full_loss(problem, params), expected, rtol=1e-5)


def test_an_autoencoder_loses_the_mean_squared_error_of_its_way_there_and_back(getkey):
    problem = ImageAutoencoder(**FEW, hidden=(6, 2), activation="tanh")
    params, images = problem.init(getkey()), problem.full_batch()
    assert [leaf.shape[-1] for leaf in jax.tree.leaves(params)[1::2]] == [6, 2, 6, 24]
    pixels = np.float64(images).reshape(10, -1)
    expected = np.mean((by_hand(numbers(params), pixels) - pixels) ** 2)
    np.testing.assert_allclose(full_loss(problem, params), expected, rtol=1e-5)


def test_an_autoencoder_that_says_nothing_loses_the_variance_of_the_pixels():
    everything = {**FEW, "samples": 40}
    problem = ImageAutoencoder(**everything, hidden=(2,))
    zero = jax.tree.map(jnp.zeros_like, problem.init(jax.random.key(0)))
    np.testing.assert_allclose(full_loss(problem, zero), 1.0, rtol=1e-5)


def test_a_convnet_is_convolutions_activations_and_a_read_out(getkey):
    problem = ImageConvNet(**FEW, filters=(2, 3), windows=(3, 2), stride=2, activation="tanh")
    params, (images, labels) = problem.init(getkey()), problem.full_batch()
    kernels, ((weights, bias),) = params
    units = images
    for kernel, edges in zip(kernels, ((1, 1), (0, 1)), strict=True):
        units = jax.lax.conv_general_dilated(
            units, kernel, (2, 2), (edges, edges), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        units = jnp.tanh(units)
    assert units.shape == (10, 1, 1, 3)
    logits = np.float64(units)[:, 0, 0] @ np.float64(weights) + np.float64(bias)
    expected = cross_entropy_by_hand(logits, np.asarray(labels))
    np.testing.assert_allclose(full_loss(problem, params), expected, rtol=1e-5)


def test_the_default_convnet_is_that_of_the_paper_s_code():
    # PAPER.md section 6: on MNIST it has 64,402 params; section 5.2: all begin with 0.01.
    like_mnist = striped_images(3, (28, 28, 1), classes=10)
    problem = ImageConvNet(data_set=like_mnist, samples=2, key=jax.random.key(0))
    params = problem.init(jax.random.key(1))
    leaves = jax.tree.leaves(params)
    assert [leaf.shape for leaf in leaves] == [(3, 3, 1, 8), (5, 5, 8, 8), (6272, 10), (10,)]
    assert sum(leaf.size for leaf in leaves) == 64402
    for leaf in leaves[:3]:
        np.testing.assert_allclose(leaf.std(), 0.01, rtol=0.25)


NARROW = {
    "mlp": (ImageMLP, {"hidden": (3, 2)}),
    "convnet": (ImageConvNet, {"filters": (2, 3), "windows": (3, 3), "stride": 2}),
    "autoencoder": (ImageAutoencoder, {"hidden": (3, 2)}),
}
ROOM = 5


def only_real(padded, valid, like):
    """What is no padding, in the shapes of the narrow network."""

    def real(leaf, is_real, like):
        return jnp.asarray(np.asarray(leaf)[np.asarray(is_real)].reshape(like.shape))

    return jax.tree.map(real, padded, valid, like)


def with_padding(padded, valid, value):
    return jax.tree.map(lambda leaf, is_real: jnp.where(is_real, leaf, value), padded, valid)


@pytest.mark.parametrize("name", NARROW)
def test_a_padded_network_is_the_narrow_one_in_loss_and_gradient(name, getkey):
    made, arguments = NARROW[name]
    # At 0 a sigmoid is not 0, so what padding lets through would be seen.
    narrow = made(**FEW, **arguments, activation="sigmoid")
    wide = made(**FEW, **arguments, activation="sigmoid", padded_to=ROOM)
    assert narrow.valid() is None
    valid, padded = wide.valid(), wide.init(getkey())
    assert_equal(padded, with_padding(padded, valid, 0.0))
    params = only_real(padded, valid, narrow.init(getkey()))
    key = getkey()
    loss, gradient = loss_and_gradient(narrow, params, key)
    padded_loss, padded_gradient = loss_and_gradient(wide, padded, key)
    np.testing.assert_allclose(padded_loss, loss, rtol=1e-5)
    found = only_real(padded_gradient, valid, gradient)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert_equal(padded_gradient, with_padding(padded_gradient, valid, 0.0))
    spoiled = with_padding(padded, valid, 7.0)
    np.testing.assert_allclose(full_loss(wide, spoiled), full_loss(wide, padded), rtol=1e-6)


@pytest.mark.parametrize("name", NARROW)
def test_first_weights_of_a_padded_network_go_by_its_real_widths(name, getkey):
    made, _ = NARROW[name]
    width = {"filters": (30,), "windows": (3,)} if made is ImageConvNet else {"hidden": (30,)}
    problem = made(**FEW, **width, initialization="he", padded_to=90)
    first, valid = (jax.tree.leaves(tree)[0] for tree in (problem.init(getkey()), problem.valid()))
    fan_in = 18 if made is ImageConvNet else 24
    assert int(valid.sum()) == fan_in * 30
    std = np.asarray(first)[np.asarray(valid)].std()
    np.testing.assert_allclose(std, np.sqrt(2 / fan_in), rtol=0.12)


def test_width_activation_initialization_and_batch_size_are_no_part_of_the_program():
    def program(width, activation, initialization, batch_size):
        given = {**FEW, "batch_size": batch_size, "batch_padded_to": 8, "padded_to": 6}
        how = {"activation": activation, "initialization": initialization}
        networks = (
            ImageMLP(**given, **how, hidden=(width,)),
            ImageConvNet(**given, **how, filters=(width,), windows=(3,)),
            ImageAutoencoder(**given, **how, hidden=(width,)),
        )
        return list(map(program_digest, networks))

    assert program(2, "relu", "he", 8) == program(6, "silu", "unit", 1)


@pytest.mark.parametrize("name", NARROW)
def test_another_seed_has_other_images_but_drawing_anew_keeps_them(name, getkey):
    made, arguments = NARROW[name]
    problem = made(**FEW, **arguments)
    other = made(**{**FEW, "key": getkey()}, **arguments)
    drawn = problem.draw(getkey())
    np.testing.assert_array_equal(drawn.data.levels, problem.data.levels)
    assert (other.data.levels != problem.data.levels).any()


@pytest.mark.parametrize("name", ["mlp", "convnet"])
def test_labels_can_be_noisy(name, getkey):
    made, arguments = NARROW[name]
    problem = LabelNoise(made(**{**FEW, "batch_size": 5}, **arguments), probability=0.6)
    keys = jax.random.split(getkey(), 60)
    images, labels = jax.vmap(problem.sample_batch)(keys)
    inner_keys = jax.vmap(jax.random.split, (0, None))(keys, 3)[:, 0]
    _, inner_labels = jax.vmap(problem.inner.sample_batch)(inner_keys)
    # Two thirds of the wrong ones are not what they were: 0.4, with a deviation of 0.03.
    np.testing.assert_allclose((labels != inner_labels).mean(), 0.4, atol=0.12)
    assert set(np.unique(labels)) == {0, 1, 2}
    assert images.shape == (60, 5, *SHAPE)


@pytest.mark.parametrize(
    ("made", "arguments", "message"),
    [
        (ImageMLP, {"hidden": (3, 0)}, "hidden must be .* at least 1, but is 0"),
        (ImageMLP, {"hidden": (9,), "padded_to": 8}, "padded_to must be 0, .* but is 8"),
        (ImageMLP, {"activation": "step"}, "activation must be one of relu, .* is 'step'"),
        (ImageConvNet, {"filters": (3,)}, "windows must hold .* 2 windows and 1 filters"),
        (ImageConvNet, {"filters": (), "windows": ()}, "at least one, .* 0 windows"),
        (ImageConvNet, {"stride": 0}, "stride must be .* at least 1, but is 0"),
        (ImageAutoencoder, {"initialization": "zero"}, "initialization must be one of he"),
        (ImageAutoencoder, {"samples": 41}, "samples must be at most 40"),
    ],
)
def test_arguments_out_of_range_are_refused(made, arguments, message):
    with pytest.raises(ValueError, match=message):
        made(**{**FEW, **arguments})
