"""ImageNet at 64x64 pixels by Chrabaszcz et al. 2017: three zips of NumPy's archives.

Read row by row through both archives, so that no more than a few images are in memory, where TFDS
holds an archive of 1.6 GB and hands its arrays to TensorFlow. https://arxiv.org/abs/1707.08819
"""

import io
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lopt.datasets.data_set import file_digest
from lopt.datasets.errors import DataSetError
from lopt.datasets.streams.examples import Example, Part

TRAIN = ("Imagenet64_train_part1_npz.zip", "Imagenet64_train_part2_npz.zip")
VALIDATION = "Imagenet64_val_npz.zip"
FILES = (*TRAIN, VALIDATION)
SIDE = 64


def resized_parts(files: Path, checksums: Mapping[str, str] | None = None) -> list[Part]:
    """Return the parts of both splits, one for each of the eleven arrays; "test" is validation.

    `checksums` are the SHA-256 by file name, TFDS's by default, and checked first. Raises
    `DataSetError` for a file that is another one.

    **Example**

    ```python
    parts = resized_parts(Path("tensorflow_datasets/downloads/manual"))
    ```
    """
    for name, expected in (checksums or published_checksums()).items():
        if (digest := file_digest(files / name)) != expected:
            raise DataSetError(
                f"{files / name} has the SHA-256 {digest}, but what was published has {expected}. "
                "Fetch it again."
            )
    splits = [("train", name) for name in TRAIN] + [("test", VALIDATION)]
    return [
        Part(split, partial(read_array, files / name, member))
        for split, name in splits
        for member in _arrays(files / name)
    ]


def published_checksums() -> dict[str, str]:
    """Return the SHA-256 of the three files that TFDS has on record.

    **Example**

    ```python
    published_checksums()["Imagenet64_val_npz.zip"][:8]  # "e1e75133"
    ```
    """
    from lopt.datasets.tfds import tfds

    infos = tfds.builder_cls("imagenet_resized").url_infos.values()
    return {info.filename: info.checksum for info in infos if info.filename in FILES}


def read_array(archive: Path, member: str) -> Iterator[Example]:
    """Yield the images of one array within a zip, their colours last, and labels from 0.

    Raises `DataSetError` if the array is of another form.

    **Example**

    ```python
    next(read_array(Path("Imagenet64_val_npz.zip"), "val_data.npz")).label
    ```
    """
    with (
        zipfile.ZipFile(archive) as outer,
        outer.open(member) as inner,
        zipfile.ZipFile(inner) as arrays,
    ):
        labels = np.load(io.BytesIO(arrays.read("labels.npy")), allow_pickle=False)
        with arrays.open("data.npy") as data:
            if (form := _form(data)) != ((len(labels), 3 * SIDE * SIDE), False, np.dtype("u1")):
                raise DataSetError(f"{member} in {archive} is {form}, but must be rows of bytes.")
            for row, label in enumerate(labels):
                planes = np.frombuffer(data.read(3 * SIDE * SIDE), np.uint8)
                pixels = planes.reshape(3, SIDE, SIDE).transpose(1, 2, 0)
                yield Example(f"{member}:{row}", pixels.tobytes(), int(label) - 1)


def _arrays(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as opened:
        return sorted(name for name in opened.namelist() if name.endswith(".npz"))


def _form(data: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    if np.lib.format.read_magic(data) == (1, 0):
        return np.lib.format.read_array_header_1_0(data)
    return np.lib.format.read_array_header_2_0(data)
