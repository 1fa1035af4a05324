"""Labelled images as problems get them: handed over by name, and a few of them kept."""

import math
import types
from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, Key, UInt8

from lopt.problems.arguments import whole
from lopt.problems.minibatches import Minibatches
from lopt.problems.padding import Size

Pixels = Float[Array, "images height width channels"]
Labels = Int32[Array, " images"]


class LabelledImages(NamedTuple):
    """A data set for `lopt.problems.build`, which a spec names and whoever builds hands over.

    `mean` and `deviation` are those of all its levels. Make one with `labelled_images`.

    **Example**

    ```python
    digits = labelled_images(train.images, train.labels, classes=10, digest=data_set.digest)
    problem = build(spec, jax.random.key(0), data_sets={"digits": digits})
    ```
    """

    images: Any
    """Levels from 0 to 255, uint8 `[images, height, width, channels]`."""
    labels: Any
    """Int32 `[images]`, below `classes`."""
    classes: int
    digest: str
    """Equal for two data sets exactly if they hold the same."""
    mean: float
    deviation: float


DataSets = Mapping[str, LabelledImages]
NO_DATA_SETS: DataSets = types.MappingProxyType({})


def labelled_images(
    images: UInt8[np.ndarray, "images height width channels"],
    labels: Int32[np.ndarray, " images"],
    classes: int,
    digest: str,
) -> LabelledImages:
    """Return a data set with the mean and the standard deviation over all of its levels.

    They come from sums of whole numbers, and so are the same on every machine to the last
    bit. The arrays become JAX's, on a CPU without a copy where they are aligned.

    **Example**

    ```python
    train = data_set.split("train")
    digits = labelled_images(train.images, train.labels, classes=10, digest=data_set.digest)
    ```
    """
    # Part by part, because counting makes 8 bytes of each.
    parts = np.array_split(images, 1 + len(images) // 1000)
    counts = np.sum([np.bincount(part.reshape(-1), minlength=256) for part in parts], axis=0)
    occurrences = list(enumerate(counts.tolist()))
    first, second = (sum(count * level**k for level, count in occurrences) for k in (1, 2))
    # Whole numbers of any size in Python: the variance loses nothing before it is divided.
    variance = (second * images.size - first**2) / images.size**2
    return LabelledImages(
        jax.device_put(images),
        jax.device_put(labels),
        classes,
        digest,
        mean=first / images.size,
        # What has no contrast is left as it is.
        deviation=variance**0.5 or 1.0,
    )


class ImageSamples(eqx.Module):
    """Some images of a data set as leaves, uint8, and the minibatches that are made of them.

    They are chosen by `key`, without replacement. A trajectory carries its problem about, so
    `samples` should be small. As float32 the levels are standardised by the mean and the
    deviation of the whole data set. `validation` more of them are in no minibatch.

    Raises `ValueError` if there are not as many images as are asked for, and for what
    `Minibatches` refuses.

    **Example**

    ```python
    data = ImageSamples(digits, samples=256, batch_size=32, key=jax.random.key(0))
    images, labels = data.minibatch(jax.random.key(1))
    ```
    """

    levels: UInt8[Array, "samples height width channels"]
    labels: Int32[Array, " samples"]
    mean: Float[Array, ""]
    deviation: Float[Array, ""]
    minibatches: Minibatches
    # None where there are none, which is another structure and so another program.
    validation_levels: UInt8[Array, "validation height width channels"] | None
    validation_labels: Int32[Array, " validation"] | None

    def __init__(
        self,
        data_set: LabelledImages,
        samples: int,
        batch_size: int,
        batch_padded_to: int = 0,
        validation: int = 0,
        *,
        key: Key[Array, ""],
    ) -> None:
        available = data_set.labels.shape[0]
        whole("samples", samples, at_least=1)
        wanted = samples + whole("validation", validation, at_least=0)
        if wanted > available:
            more = f" and validation is {validation}" if validation else ""
            raise ValueError(
                f"samples must be at most {available - validation}, for there are {available} "
                f"images in the data set{more}, but is {samples}."
            )
        chosen = jax.random.choice(key, available, (wanted,), replace=False)
        levels = jnp.asarray(data_set.images)[chosen]
        labels = jnp.asarray(data_set.labels)[chosen]
        self.levels, self.labels = levels[:samples], labels[:samples]
        self.validation_levels = levels[samples:] if validation else None
        self.validation_labels = labels[samples:] if validation else None
        self.mean = jnp.asarray(data_set.mean, jnp.float32)
        self.deviation = jnp.asarray(data_set.deviation, jnp.float32)
        self.minibatches = Minibatches(batch_size, batch_padded_to, samples=samples)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        height, width, channels = self.levels.shape[-3:]
        return height, width, channels

    @property
    def size(self) -> Size:
        """The number of inputs that an image is."""
        return Size("pixels", math.prod(self.shape))

    def minibatch(self, key: Key[Array, ""]) -> tuple[Pixels, Labels]:
        """Draw standardised images with their labels."""
        chosen = self.minibatches.rows(key, self.labels.shape[-1])
        return self._standardised(self.levels[chosen]), self.labels[chosen]

    def everything(self) -> tuple[Pixels, Labels]:
        """Return all images, standardised, and labels, in order."""
        return self._standardised(self.levels), self.labels

    def validation(self) -> tuple[Pixels, Labels]:
        """Return the images that are in no minibatch; all others where there are none."""
        if self.validation_levels is None or self.validation_labels is None:
            return self.everything()
        return self._standardised(self.validation_levels), self.validation_labels

    def _standardised(self, levels: UInt8[Array, "images height width channels"]) -> Pixels:
        return (levels.astype(jnp.float32) - self.mean) / self.deviation


def striped_images(images: int, shape: tuple[int, int, int], classes: int) -> LabelledImages:
    """Make a data set up in which the place of a bright row tells the class, for trying things out.

    **Example**

    ```python
    data_set = striped_images(12, (4, 4, 1), classes=2)
    ```
    """
    labels = np.arange(images, dtype=np.int32) % classes
    levels = np.random.default_rng(0).integers(0, 128, (images, *shape), dtype=np.uint8)
    levels[np.arange(images), labels % shape[0]] += 120
    return labelled_images(levels, labels, classes, digest="stripes")
