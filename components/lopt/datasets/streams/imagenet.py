"""ILSVRC 2012, "ImageNet": the two tars that everybody has to fetch with an account.

TFDS's builder reads them through TensorFlow, and shuffles and writes all images before they can be
used, at three times their 150 GB of disk. So they are read here; the class of a name, the labels
of the validation images and the version are TFDS's. https://image-net.org/challenges/LSVRC/2012
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from lopt.datasets.errors import DataSetError
from lopt.datasets.streams.examples import Part
from lopt.datasets.streams.raw_tars import base_name, index, read_inner, read_members

TRAIN, VALIDATION = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
FILES = (TRAIN, VALIDATION)
VALIDATION_PART = 2_500
"""Images of a file; a training file has a class, 1,300 at most."""


def imagenet_parts(files: Path) -> list[Part]:
    """Return the parts of both splits: training by class, and what was for validation as "test".

    The labels of the real test images were never published, so everybody tests on these.
    Raises `DataSetError` if a tar holds something else.

    **Example**

    ```python
    parts = imagenet_parts(Path("tensorflow_datasets/downloads/manual"))
    len(parts)  # 1020
    ```
    """
    classes = class_names()
    return [*_training(files / TRAIN, classes), *_validation(files / VALIDATION, classes)]


def class_names() -> list[str]:
    """Return the 1,000 WordNet identifiers; a class's label is its place.

    **Example**

    ```python
    class_names()[0]  # "n01440764", the tench
    ```
    """
    return _lines("labels.txt")


def validation_labels() -> list[str]:
    """Return the classes of the 50,000 validation images, in the order of their names.

    **Example**

    ```python
    validation_labels()[0]  # "n01751748"
    ```
    """
    return _lines("validation_labels.txt")


def _lines(name: str) -> list[str]:
    from lopt.datasets.tfds import tfds

    path = tfds.core.tfds_path(f"datasets/imagenet2012/{name}")
    return str(path.read_text()).split()


def _training(archive: Path, classes: Sequence[str]) -> Iterator[Part]:
    labels = {f"{name}.tar": label for label, name in enumerate(classes)}
    found = {base_name(member): member for member in index(archive)}
    if found.keys() != labels.keys():
        strange = sorted(found.keys() ^ labels.keys())
        raise DataSetError(
            f"{archive} must hold a tar for each of the {len(labels)} classes, but {strange[0]} "
            f"and {len(strange) - 1} others are missing or too many."
        )
    for name, label in labels.items():
        yield Part("train", partial(read_inner, archive, found[name], label))


def _validation(archive: Path, classes: Sequence[str]) -> Iterator[Part]:
    members, names = index(archive), validation_labels()
    if len(members) != len(names):
        raise DataSetError(f"{archive} must hold {len(names)} images, but holds {len(members)}.")
    numbers = {name: label for label, name in enumerate(classes)}
    labels = {base_name(member): numbers[name] for member, name in zip(members, names, strict=True)}
    for first in range(0, len(members), VALIDATION_PART):
        part = members[first : first + VALIDATION_PART]
        yield Part("test", partial(read_members, archive, part, labels.__getitem__))
