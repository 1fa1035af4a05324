"""What becomes of an example on its way into a batch, while other threads decode others."""

import dataclasses
from collections.abc import Callable
from typing import TypedDict

import numpy as np
from jaxtyping import Int32, UInt8

from lopt.datasets.errors import DataSetError
from lopt.datasets.manifest_file import remedy
from lopt.datasets.streams.decoding import UndecodableError, cut, open_image
from lopt.datasets.streams.examples import Example
from lopt.datasets.streams.recipes import Box, central_box, random_box
from lopt.datasets.streams.source import EncodedImages

NO_LABEL = -1
"""The label of what fills up the last batch of an evaluation."""


class LabelledImage(TypedDict):
    """One image for a network, and its label.

    **Example**

    ```python
    EvaluationView(source, size=64)(0)["labels"]
    ```
    """

    images: UInt8[np.ndarray, "size size 3"]
    labels: Int32[np.ndarray, ""]


@dataclasses.dataclass(frozen=True)
class TrainingView:
    """A random part of an image, mirrored half of the time.

    **Example**

    ```python
    TrainingView(source, size=64)(source[0], np.random.default_rng(0))["images"].shape
    ```
    """

    source: EncodedImages
    size: int

    def __call__(self, example: Example, rng: np.random.Generator) -> LabelledImage:
        """Draw mirroring and part from `rng`, and nothing from anywhere else."""
        mirrored = bool(rng.random() < 0.5)

        def choose(width: int, height: int) -> Box:
            return random_box(width, height, rng)

        return _view(self.source, example, self.size, choose, mirrored)


@dataclasses.dataclass(frozen=True)
class EvaluationView:
    """The middle of an image; past the last one black images of `NO_LABEL`.

    **Example**

    ```python
    EvaluationView(source, size=64)(len(source))["labels"]  # -1
    ```
    """

    source: EncodedImages
    size: int

    def __call__(self, index: int) -> LabelledImage:
        """Look at image `index` of the split."""
        if index >= len(self.source):
            return _labelled(np.zeros((self.size, self.size, 3), np.uint8), NO_LABEL)

        def choose(width: int, height: int) -> Box:
            return central_box(width, height, self.size)

        return _view(self.source, self.source[index], self.size, choose, mirrored=False)


def _view(
    source: EncodedImages,
    example: Example,
    size: int,
    choose: Callable[[int, int], Box],
    mirrored: bool,
) -> LabelledImage:
    try:
        image = open_image(example.content, source.sides)
        pixels = cut(image, choose(*image.size), size, mirrored=mirrored)
    except UndecodableError as error:
        raise DataSetError(
            f"The image {example.name} of {source.split} cannot be decoded ({error}), but could "
            f"when it was prepared: a file has changed. {remedy(source.directory)}"
        ) from error
    return _labelled(pixels, example.label)


def _labelled(pixels: UInt8[np.ndarray, "size size 3"], label: int) -> LabelledImage:
    return {"images": pixels, "labels": np.asarray(label, np.int32)}
