"""Photographs like ImageNet's, made of the two that scikit-learn carries with it."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from lopt.datasets.streams import EncodedSet
from lopt.datasets.streams.examples import Example, Part
from lopt.datasets.streams.preparation import prepare_source
from lopt.datasets.streams.sources import ImageSource

TYPICAL = (500, 375)
"""Width and height of most of ImageNet's images, of 110 kB each on the average."""
QUALITY = 97
"""Of the JPEGs: enlarged photographs are smoother than others, so 97 makes 93 kB."""


def prepared(root: Path, count: int, sides: tuple[int, int] = TYPICAL) -> EncodedSet:
    """Prepare so many photographs of one size, each another part of one of the two."""
    parts = [Part("train", lambda: photographs(count, sides)), Part("test", lambda: iter(()))]
    source = ImageSource(
        f"photographs-{sides[0]}", "1.0.0", 2, {"train": count, "test": 0}, lambda _files: parts
    )
    return prepare_source(source, root, Path())


def photographs(count: int, sides: tuple[int, int]) -> Iterator[Example]:
    """Yield them as JPEGs, always the same."""
    whole = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    random = np.random.default_rng(0)
    for number in range(count):
        image = whole[number % 2]
        width = int(random.integers(500, 569))
        height = width * 3 // 4
        left = int(random.integers(image.width - width + 1))
        top = int(random.integers(image.height - height + 1))
        box = (left, top, left + width, top + height)
        content = io.BytesIO()
        image.resize(sides, Image.Resampling.BICUBIC, box).save(content, "JPEG", quality=QUALITY)
        yield Example(f"{number}.jpg", content.getvalue(), number % 2)
