"""Images of a data set in problems, and the minibatches that are made of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.problems.images import ImageSamples, labelled_images, striped_images
from lopt.problems.minibatches import Minibatches


def distinct(count):
    """Images of one pixel, all different, that are labelled by their level."""
    levels = np.arange(count, dtype=np.uint8)
    return labelled_images(levels.reshape(count, 1, 1, 1), levels.astype(np.int32), count, "x")


def test_the_mean_and_the_deviation_are_those_of_all_levels():
    levels = np.random.default_rng(0).integers(0, 256, (2500, 3, 2, 1), dtype=np.uint8)
    data_set = labelled_images(levels, np.zeros(2500, np.int32), 1, "x")
    np.testing.assert_allclose(data_set.mean, levels.mean(dtype=np.float64), rtol=1e-14)
    np.testing.assert_allclose(data_set.deviation, levels.std(dtype=np.float64), rtol=1e-14)


def test_images_without_contrast_are_not_divided_by_zero():
    black = labelled_images(np.zeros((3, 2, 2, 1), np.uint8), np.zeros(3, np.int32), 1, "x")
    assert (black.mean, black.deviation) == (0.0, 1.0)


def test_samples_are_different_images_with_their_own_labels(getkey):
    data = ImageSamples(distinct(200), 50, 8, key=getkey())
    assert len(np.unique(data.labels)) == 50
    np.testing.assert_array_equal(data.levels[:, 0, 0, 0].astype(jnp.int32), data.labels)
    assert data.levels.dtype == jnp.uint8
    other = ImageSamples(distinct(200), 50, 8, key=getkey())
    assert set(np.asarray(other.labels)) != set(np.asarray(data.labels))


def test_all_images_standardised_have_mean_0_and_deviation_1(getkey):
    data = ImageSamples(striped_images(60, (4, 3, 2), classes=3), 60, 8, key=getkey())
    images, labels = data.everything()
    assert (images.shape, images.dtype) == ((60, 4, 3, 2), jnp.float32)
    np.testing.assert_allclose(images.mean(), 0.0, atol=1e-5)
    np.testing.assert_allclose(images.std(), 1.0, rtol=1e-5)
    assert labels.dtype == jnp.int32


def test_a_minibatch_holds_images_with_their_labels(getkey):
    data_set = distinct(100)
    images, labels = ImageSamples(data_set, 30, 12, key=getkey()).minibatch(getkey())
    assert images.shape == (12, 1, 1, 1)
    levels = np.float64(images[:, 0, 0, 0]) * data_set.deviation + data_set.mean
    np.testing.assert_allclose(levels, labels, atol=1e-3)


def test_more_samples_than_images_are_refused(getkey):
    with pytest.raises(ValueError, match=r"samples must be at most 10, .* but is 11"):
        ImageSamples(distinct(10), 11, 8, key=getkey())


def test_images_for_validation_are_others_than_those_of_minibatches(getkey):
    data = ImageSamples(distinct(100), 60, 8, validation=25, key=getkey())
    images, labels = data.validation()
    assert images.shape == (25, 1, 1, 1)
    assert len(np.unique(labels)) == 25
    assert not set(np.asarray(labels)) & set(np.asarray(data.labels))
    for _ in range(20):
        assert set(np.asarray(data.minibatch(getkey())[1])) <= set(np.asarray(data.labels))


def test_without_images_for_validation_the_others_are_taken(getkey):
    data = ImageSamples(distinct(100), 60, 8, key=getkey())
    for one, two in zip(data.validation(), data.everything(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_more_images_for_validation_than_are_left_are_refused(getkey):
    with pytest.raises(ValueError, match=r"samples must be at most 4, .* but is 8"):
        ImageSamples(distinct(10), 8, 2, validation=6, key=getkey())


def test_a_padded_minibatch_repeats_its_rows_equally_often(getkey):
    many = Minibatches(4, batch_padded_to=12, samples=10**6)
    rows = many.rows(getkey(), samples=10**6)
    assert rows.shape == (12,)
    assert len(np.unique(rows[:4])) == 4
    np.testing.assert_array_equal(np.reshape(rows, (3, 4)), np.tile(rows[:4], (3, 1)))


@pytest.mark.parametrize("padded_to", [0, 6])
def test_rows_are_drawn_from_all_samples_alike(padded_to, getkey):
    minibatches = Minibatches(3, padded_to, samples=5)
    rows = jax.vmap(lambda key: minibatches.rows(key, samples=5))(jax.random.split(getkey(), 2000))
    # Of 6000 independent draws a fifth each: four standard deviations are 0.021.
    np.testing.assert_allclose(np.bincount(np.ravel(rows[:, :3])) / 6000, 0.2, atol=0.021)


def test_batch_sizes_that_divide_one_number_are_one_program():
    small, large = (Minibatches(size, batch_padded_to=8, samples=9) for size in (2, 8))
    assert jax.tree.structure(small) == jax.tree.structure(large)


@pytest.mark.parametrize(("batch_size", "padded_to"), [(4, 0), (9, 0), (4, 8), (4, 4)])
def test_a_minibatch_of_no_fewer_rows_than_there_are_is_all_of_them_in_order(
    batch_size, padded_to, getkey
):
    minibatches = Minibatches(batch_size, padded_to, samples=4)
    rows = minibatches.rows(getkey(), samples=4)
    times = max(1, padded_to // 4)
    np.testing.assert_array_equal(rows, np.tile(np.arange(4), times))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "batch_size must be .* at least 1, but is 0"),
        ((8, 4), "batch_padded_to must be 0, .* or at least batch_size, which is 8, but is 4"),
        ((3, 8), "batch_size must divide batch_padded_to, which is 8, .* but is 3"),
        ((8, 16), "batch_size must be at most samples, which is 7, .* padded, but is 8: .*=7"),
    ],
)
def test_batch_sizes_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Minibatches(*arguments, samples=7)
