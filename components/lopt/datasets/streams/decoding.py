"""From a file's bytes to the pixels of a part of it, by Pillow, which lets other threads run."""

import io
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from lopt.datasets.streams.recipes import Box

if TYPE_CHECKING:
    from PIL import Image

Pixels = UInt8[np.ndarray, "size size 3"]
Sides = tuple[int, int]

SMALLEST_SCALE = 8
"""JPEG's blocks have 8 by 8 pixels and can be decoded at 1/2, 1/4 and 1/8 of that."""


class UndecodableError(Exception):
    """The bytes of an image are not what Pillow can read; the message says why.

    **Example**

    ```python
    try:
        check(content)
    except UndecodableError as error:
        print(error)
    ```
    """


def open_image(content: bytes, sides: Sides | None = None) -> "Image.Image":
    """Open an image without decoding it yet; `sides` says height and width of bare RGB pixels.

    Raises `UndecodableError`.

    **Example**

    ```python
    open_image(content).size  # width and height
    ```
    """
    from PIL import Image

    try:
        if sides is not None:
            return Image.frombytes("RGB", sides[::-1], content)
        return Image.open(io.BytesIO(content))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UndecodableError(_why(error)) from error


def cut(image: "Image.Image", box: Box, size: int, *, mirrored: bool = False) -> Pixels:
    """Decode `image` and scale a part of it to `size` by `size` pixels, as RGB.

    A JPEG is decoded at the smallest of its own scales at which the part still has `size`
    pixels each way. What is scaled down is averaged over (a triangle of twice the step), so that no
    pixel is left out. Raises `UndecodableError`.

    **Example**

    ```python
    cut(image, central_box(*image.size, size=224), size=224)
    ```
    """
    from PIL import Image

    width, height = image.size
    try:
        image.draft(None, _scaled(image.size, scale_for(box, size)))
        across, down = image.width / width, image.height / height
        corners = (
            box.left * across,
            box.top * down,
            min((box.left + box.width) * across, image.width),
            min((box.top + box.height) * down, image.height),
        )
        pixels = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR, corners)
    except _faults() as error:
        raise UndecodableError(_why(error)) from error
    if mirrored:
        pixels = pixels.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(pixels)


def scale_for(box: Box, size: int) -> int:
    """Return by how much a JPEG may be decoded smaller: 1, 2, 4 or 8.

    **Example**

    ```python
    scale_for(Box(0, 0, 300, 280), size=64)  # 4
    ```
    """
    scale = 1
    while scale < SMALLEST_SCALE and min(box.width, box.height) >= 2 * scale * size:
        scale *= 2
    return scale


def check(content: bytes) -> None:
    """Decode all of an image, a JPEG at 1/8: what passes can be cut from later.

    Raises `UndecodableError`.

    **Example**

    ```python
    check(content)
    ```
    """
    image = open_image(content)
    try:
        image.draft(None, _scaled(image.size, SMALLEST_SCALE))
        image.convert("RGB")
    except _faults() as error:
        raise UndecodableError(_why(error)) from error


def _scaled(sides: Sides, scale: int) -> Sides:
    width, height = sides
    return max(width // scale, 1), max(height // scale, 1)


def _faults() -> tuple[type[Exception], ...]:
    """Return what Pillow raises for broken files; for PNGs also a `SyntaxError`."""
    from PIL import Image

    return OSError, SyntaxError, ValueError, Image.DecompressionBombError


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
