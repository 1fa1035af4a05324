"""Which part of an image a network sees: the usual recipes of ImageNet.

Training takes a random part of the image, evaluation its middle, as in Szegedy et al. 2015
(https://arxiv.org/abs/1409.4842, section 6) and in nearly every program since.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

AREA = (0.08, 1.0)
"""Least and greatest share of the image's area that a training image is cut from."""
ASPECT = (3 / 4, 4 / 3)
"""Least and greatest width of that part, as a multiple of its height."""
TRIES = 10
CENTRAL = 0.875
"""Share of the shorter side that evaluation looks at: 224 of 256 pixels."""

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
"""Of ImageNet's training images, by channel, where levels are from 0 to 1."""


class Box(NamedTuple):
    """A part of an image, in pixels of the image as it was published; need not be whole.

    **Example**

    ```python
    Box(left=10, top=0, width=224, height=200)
    ```
    """

    left: float
    top: float
    width: float
    height: float


def random_box(width: int, height: int, rng: np.random.Generator) -> Box:
    """Draw a part of an image: area and logarithm of the aspect uniform, then the place.

    What does not fit is drawn again, at most ten times; then it is the largest part in the
    middle whose aspect is allowed.

    **Example**

    ```python
    random_box(500, 375, np.random.default_rng(0))
    ```
    """
    # All at once: a call of NumPy's takes longer than what is computed of its numbers.
    for share, shape, x, y in rng.random((TRIES, 4)).tolist():
        area = (AREA[0] + share * (AREA[1] - AREA[0])) * width * height
        aspect = ASPECT[0] * (ASPECT[1] / ASPECT[0]) ** shape
        across, down = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < across <= width and 0 < down <= height:
            left, top = int(x * (width - across + 1)), int(y * (height - down + 1))
            return Box(left, top, across, down)
    widest, highest = float(height * ASPECT[1]), float(width / ASPECT[0])
    return _middle(width, height, min(float(width), widest), min(float(height), highest))


def central_box(width: int, height: int, size: int) -> Box:
    """Return the square in the middle that evaluation looks at, of 7/8 of the shorter side.

    Scaling it to `size` is scaling the shorter side to 8/7 of that and cutting out the middle. An
    image that is `size` by `size` already is taken whole.

    **Example**

    ```python
    central_box(500, 400, size=224)  # Box(left=75, top=25, width=350, height=350)
    ```
    """
    share = 1.0 if width == height == size else CENTRAL
    side = share * min(width, height)
    return _middle(width, height, side, side)


def _middle(width: int, height: int, across: float, down: float) -> Box:
    return Box((width - across) / 2, (height - down) / 2, across, down)


def standardised(
    images: UInt8[Array | np.ndarray, "*axes 3"],
) -> Float[Array, "*axes 3"]:
    """Bring levels from 0 to 255 to float32 of mean 0 and deviation 1 by ImageNet's statistics.

    To be called where the network is: as bytes, images are a quarter of the way to the device.

    **Example**

    ```python
    logits = network(standardised(batch["images"]))
    ```
    """
    mean = 255 * jnp.asarray(MEAN, jnp.float32)
    deviation = 255 * jnp.asarray(DEVIATION, jnp.float32)
    axes = [1] * (images.ndim - 1)
    levels = jnp.asarray(images).astype(jnp.float32)
    return (levels - mean.reshape(*axes, 3)) / deviation.reshape(*axes, 3)
