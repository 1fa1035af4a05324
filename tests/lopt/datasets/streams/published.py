"""The tars of ImageNet in the layout that was published, only with fewer classes and images."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from lopt.datasets.streams import IMAGE_SOURCES, imagenet
from lopt.datasets.streams.sources import ImageSource
from tests.lopt.datasets.streams.pictures import picture

CLASSES = ["n01440764", "n01443537", "n01484850"]
PER_CLASS = 2
VALIDATION = ["n01484850", "n01440764", "n01484850", "n01443537", "n01440764"]


def tar(path: Path, members: Mapping[str, bytes]) -> bytes:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path.read_bytes()


def publish_tars(folder: Path) -> None:
    """Write both tars, of made-up pictures, in another order than that of their names."""
    classes = {
        f"{name}.tar": tar(
            folder / "inner.tar",
            {f"{name}_{number}.JPEG": picture(10 * label + number) for number in range(PER_CLASS)},
        )
        for label, name in reversed(list(enumerate(CLASSES)))
    }
    tar(folder / imagenet.TRAIN, classes)
    images = {f"ILSVRC2012_val_{number + 1:08}.JPEG": picture(number) for number in (3, 0, 4, 1, 2)}
    tar(folder / imagenet.VALIDATION, images)


def expect_few_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tars of three classes pass for whole ones."""
    monkeypatch.setattr(imagenet, "class_names", lambda: CLASSES)
    monkeypatch.setattr(imagenet, "validation_labels", lambda: VALIDATION)
    monkeypatch.setattr(imagenet, "VALIDATION_PART", 3)


def fewer(name: str, train: int, test: int) -> ImageSource:
    """What is known of a set, but that it has so many images."""
    known = IMAGE_SOURCES[name]
    return ImageSource(
        name,
        known.version,
        known.classes,
        {"train": train, "test": test},
        parts=known.parts,
        files=known.files,
        sides=known.sides,
    )
