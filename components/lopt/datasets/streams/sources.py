"""Which sets of encoded images there are, and what is known of each before it is prepared."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lopt.datasets.errors import DataSetError
from lopt.datasets.streams.encoded_digits import digit_parts
from lopt.datasets.streams.examples import Part
from lopt.datasets.streams.imagenet import FILES as IMAGENET_FILES
from lopt.datasets.streams.imagenet import imagenet_parts
from lopt.datasets.streams.imagenet_resized import FILES as RESIZED_FILES
from lopt.datasets.streams.imagenet_resized import resized_parts


@dataclasses.dataclass(frozen=True)
class ImageSource:
    """What is known of a set of encoded images before it is prepared.

    **Example**

    ```python
    IMAGE_SOURCES["imagenet2012"].counts["train"]  # 1281167
    ```
    """

    name: str
    version: str
    classes: int
    counts: Mapping[str, int]
    """Number of images of each split; another number is refused, for a tar may end too early."""
    parts: Callable[[Path], Sequence[Part]]
    """Finds the parts in the folder with the published files."""
    files: tuple[str, ...] = ()
    """Names of the published files, which somebody has to fetch."""
    where: str = ""
    """What that somebody has to know."""
    sides: tuple[int, int] | None = None
    """Height and width where images are bare RGB pixels."""


IMAGENET_COUNTS = {"train": 1_281_167, "test": 50_000}

IMAGE_SOURCES: Mapping[str, ImageSource] = {
    source.name: source
    for source in (
        ImageSource(
            "encoded_digits", "1.0.0", 10, {"train": 1_442, "test": 355}, parts=digit_parts
        ),
        ImageSource(
            "imagenet2012",
            "5.1.0",
            1_000,
            IMAGENET_COUNTS,
            parts=imagenet_parts,
            files=IMAGENET_FILES,
            where="They are to be had, with an account, from https://image-net.org/download-images",
        ),
        ImageSource(
            "imagenet_resized/64x64",
            "0.1.0",
            1_000,
            IMAGENET_COUNTS,
            parts=resized_parts,
            files=RESIZED_FILES,
            where="They are to be had, with an account, from https://image-net.org/download-images",
            sides=(64, 64),
        ),
    )
}


def find_image_source(name: str) -> ImageSource:
    """Return what is known of the set of encoded images called `name`.

    Raises `DataSetError` naming those there are.

    **Example**

    ```python
    find_image_source("imagenet2012").files
    ```
    """
    if name not in IMAGE_SOURCES:
        raise DataSetError(
            f"Unknown set of encoded images {name!r}; known: {', '.join(IMAGE_SOURCES)}."
        )
    return IMAGE_SOURCES[name]


def missing_files(source: ImageSource, files: Path) -> str | None:
    """Say which published files the folder `files` lacks and where they are to be had.

    Nothing is downloaded, ever: `None` if all are there.

    **Example**

    ```python
    missing_files(IMAGE_SOURCES["imagenet2012"], Path("downloads"))
    ```
    """
    missing = [name for name in source.files if not (files / name).is_file()]
    if not missing:
        return None
    return (
        f"{source.name} is made from files that have to be fetched by hand, but {files} lacks "
        f"{' and '.join(missing)}. {source.where}."
    )
