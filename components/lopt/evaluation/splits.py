"""The images of a data set as networks get them."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32

from lopt.datasets import Split

Images = Float[Array, "images height width channels"]


class StandardisedSplits(NamedTuple):
    """Images and labels to train on, and to test with."""

    images: Images
    labels: Int32[Array, " images"]
    test_images: Images
    test_labels: Int32[Array, " test_images"]


def standardised(train: Split, test: Split) -> StandardisedSplits:
    """Return both splits by the one mean and standard deviation of the training pixels.

    **Example**

    ```python
    splits = standardised(data_set.split("train"), data_set.split("test"))
    ```
    """
    mean, scale = float(np.mean(train.images)), float(np.std(train.images))
    return StandardisedSplits(
        _standardised(train.images, mean, scale),
        jnp.asarray(train.labels, jnp.int32),
        _standardised(test.images, mean, scale),
        jnp.asarray(test.labels, jnp.int32),
    )


def stripes() -> Split:
    """Return twelve images of 4 x 4 pixels and two classes, one with a brighter upper half.

    **Example**

    ```python
    target = ImageClassification.of(stripes(), stripes(), mlp, name="stripes", steps=4)
    ```
    """
    labels = np.arange(12, dtype=np.int32) % 2
    images = np.random.default_rng(0).integers(0, 128, (12, 4, 4, 1), dtype=np.uint8)
    images[:, :2] += (120 * labels[:, None, None, None]).astype(np.uint8)
    return Split("train", images, labels)


def _standardised(images: np.ndarray, mean: float, scale: float) -> Images:
    return jnp.asarray((images - np.float32(mean)) / np.float32(scale), jnp.float32)
