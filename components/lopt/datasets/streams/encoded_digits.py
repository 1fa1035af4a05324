"""The handwritten digits as picture files of many sizes, for trying ImageNet's loader offline.

Enlarged, stretched and encoded: nothing that would help to learn digits, but what a loader meets in
ImageNet: JPEGs and now and then a PNG, colours and grey, no two images of one size.
"""

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from lopt.datasets.digits import labelled_digits
from lopt.datasets.streams.examples import Example, Part

SIDES = (48, 128)
"""Least and greatest width and height, in pixels."""
PNG_EVERY = 7


def digit_parts(files: Path) -> list[Part]:
    """Return the splits of "digits" as a part each; no `files` are needed.

    **Example**

    ```python
    digit_parts(Path())[0].split  # "train"
    ```
    """
    del files
    return [Part(split, partial(read_digits, split)) for split in ("train", "test")]


def read_digits(split: str) -> Iterator[Example]:
    """Yield the digits of a split as JPEGs in colour and, each seventh, as PNGs in grey.

    Their sizes are drawn from their places alone, so that they are the same each time.

    **Example**

    ```python
    next(read_digits("test")).name  # "test-0000.jpg"
    ```
    """
    from PIL import Image

    levels, labels = labelled_digits()[split]
    for place, (image, label) in enumerate(zip(levels, labels, strict=True)):
        width, height = np.random.default_rng(place).integers(SIDES[0], SIDES[1] + 1, 2).tolist()
        enlarged = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
        png = place % PNG_EVERY == PNG_EVERY - 1
        content = io.BytesIO()
        (enlarged if png else enlarged.convert("RGB")).save(content, "PNG" if png else "JPEG")
        name = f"{split}-{place:04}.{'png' if png else 'jpg'}"
        yield Example(name, content.getvalue(), int(label))
