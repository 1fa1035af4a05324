"""Made-up pictures, each of which says in its colour which one it is."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from lopt.datasets.streams.examples import Example, Part
from lopt.datasets.streams.sources import ImageSource

COUNT = 23
FORMATS = (("RGB", "JPEG"), ("L", "PNG"), ("RGB", "PNG"), ("L", "JPEG"), ("CMYK", "JPEG"))


def picture(number: int) -> bytes:
    """A file of one grey level, ten times its number, in one of five formats and many sizes."""
    width, height = np.random.default_rng(number).integers(20, 60, 2).tolist()
    mode, form = FORMATS[number % len(FORMATS)]
    image = Image.new("L", (width, height), 10 * number)
    content = io.BytesIO()
    (image.convert("RGB").convert(mode)).save(content, form)
    return content.getvalue()


def slope(width: int, height: int, form: str = "PNG", level: float = 1.0) -> bytes:
    """A file that grows lighter from left (red) and from the top (green)."""
    x, y = np.meshgrid(np.linspace(0, 250, width), np.linspace(0, 250, height))
    pixels = np.stack([x, y, np.zeros_like(x)], axis=-1) * level
    content = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(content, form, quality=98)
    return content.getvalue()


def examples(numbers: Sequence[int]) -> Iterator[Example]:
    for number in numbers:
        yield Example(f"{number}.img", picture(number), label=number)


def parts_of(files: Path) -> list[Part]:
    """Three parts to train with, of 10, 10 and 3 pictures, and one to test with, of 5."""
    train = [range(10), range(10, 20), range(20, COUNT)]
    return [
        *(Part("train", lambda part=part: examples(part)) for part in train),
        Part("test", lambda: examples(range(5))),
    ]


PICTURES = ImageSource("pictures", "1.0.0", COUNT, {"train": COUNT, "test": 5}, parts=parts_of)
