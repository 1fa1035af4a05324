"""ImageNet from tars and zips in the layout that was published, only with fewer images."""

import hashlib
import io
import zipfile
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lopt.datasets import DataSetError
from lopt.datasets.streams import IMAGE_SOURCES, imagenet, imagenet_resized, open_stream
from lopt.datasets.streams.preparation import prepare_source
from lopt.datasets.streams.sources import ImageSource
from lopt.datasets.tfds import tfds
from tests.lopt.datasets.streams.pictures import picture
from tests.lopt.datasets.streams.published import (
    CLASSES,
    PER_CLASS,
    VALIDATION,
    expect_few_classes,
    fewer,
    publish_tars,
    tar,
)


@pytest.fixture
def few_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    expect_few_classes(monkeypatch)


@pytest.mark.usefixtures("few_classes")
def test_what_is_published_as_tars_is_what_is_read(tmp_path: Path) -> None:
    publish_tars(tmp_path)
    prepared = prepare_source(fewer("imagenet2012", 6, 5), tmp_path, tmp_path)
    train, test = prepared.images("train"), prepared.images("test")
    assert [train[index] for index in range(6)] == [
        (f"{name}_{number}.JPEG", picture(10 * label + number), label)
        for label, name in enumerate(CLASSES)
        for number in range(PER_CLASS)
    ]
    assert [test[index] for index in range(5)] == [
        (f"ILSVRC2012_val_{number + 1:08}.JPEG", picture(number), CLASSES.index(name))
        for number, name in enumerate(VALIDATION)
    ]
    assert len(list(prepared.directory.glob("test-*.arrow"))) == 2


@pytest.mark.usefixtures("few_classes")
@pytest.mark.parametrize("change", ["missing", "strange"])
def test_a_tar_of_other_classes_is_refused(tmp_path: Path, change: str) -> None:
    publish_tars(tmp_path)
    names = [f"{name}.tar" for name in CLASSES]
    members = names[1:] if change == "missing" else [*names, "n00000000.tar"]
    tar(tmp_path / imagenet.TRAIN, dict.fromkeys(members, b""))
    stranger = names[0] if change == "missing" else "n00000000.tar"
    with pytest.raises(DataSetError, match=f"each of the 3 classes, but {stranger} and 0 others"):
        imagenet.imagenet_parts(tmp_path)


@pytest.mark.usefixtures("few_classes")
def test_a_tar_that_ends_too_early_is_refused(tmp_path: Path) -> None:
    publish_tars(tmp_path)
    path = tmp_path / imagenet.VALIDATION
    path.write_bytes(path.read_bytes()[:2_000])
    with pytest.raises(DataSetError, match=f"of {tmp_path} cannot be read: unexpected end"):
        prepare_source(fewer("imagenet2012", 6, 5), tmp_path, tmp_path)


def test_names_and_labels_are_those_of_tfds() -> None:
    classes, validation = imagenet.class_names(), imagenet.validation_labels()
    assert len(classes) == len(set(classes)) == 1_000
    assert classes[0] == "n01440764"  # the tench
    assert len(validation) == 50_000
    assert all(validation.count(name) == 50 for name in classes[::200])


@pytest.mark.parametrize("name", ["imagenet2012", "imagenet_resized/64x64"])
def test_versions_and_classes_are_those_of_the_stock_builder(name: str, tmp_path: Path) -> None:
    builder = tfds.builder(name, data_dir=tmp_path)
    source = IMAGE_SOURCES[name]
    assert str(builder.version) == source.version
    assert builder.info.features["label"].num_classes == source.classes


def publish_zips(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Write the three zips of two, one and one arrays of three images each."""
    images, labels = {}, {}
    contents = zip(imagenet_resized.FILES, (("b1", "b2"), ("b3",), ("val_data",)), strict=True)
    for seed, (name, arrays) in enumerate(contents):
        random = np.random.default_rng(seed)
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for array in arrays:
                images[array] = random.integers(0, 256, (3, 3, 64, 64), np.uint8)
                labels[array] = random.integers(1, 1_001, 3)
                content = io.BytesIO()
                np.savez(content, data=images[array].reshape(3, -1), labels=labels[array])
                archive.writestr(f"{array}.npz", content.getvalue())
    return images, labels


def digests(folder: Path) -> dict[str, str]:
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in imagenet_resized.FILES
    }


def test_what_is_published_as_zips_is_what_is_read_and_seen(tmp_path: Path) -> None:
    images, labels = publish_zips(tmp_path)
    known = fewer("imagenet_resized/64x64", 9, 3)
    parts = partial(imagenet_resized.resized_parts, checksums=digests(tmp_path))
    source = ImageSource(
        known.name, known.version, 1_000, known.counts, parts, known.files, sides=known.sides
    )
    prepared = prepare_source(source, tmp_path, tmp_path)
    for split, arrays in (("train", ["b1", "b2", "b3"]), ("test", ["val_data"])):
        stream = open_stream(
            prepared.directory, split, batch_size=3, image_size=64, training=False, threads=1
        )
        for array, (_, batch) in zip(arrays, stream.batches(), strict=True):
            np.testing.assert_array_equal(batch["images"], images[array].transpose(0, 2, 3, 1))
            np.testing.assert_array_equal(batch["labels"], labels[array] - 1)


def test_a_zip_of_another_checksum_is_refused(tmp_path: Path) -> None:
    publish_zips(tmp_path)
    assert all(a < b for a, b in pairwise(sorted(imagenet_resized.published_checksums())))
    with pytest.raises(DataSetError, match=r"_npz\.zip has the SHA-256 .*published has"):
        imagenet_resized.resized_parts(tmp_path)
    assert set(imagenet_resized.published_checksums()) == set(imagenet_resized.FILES)


def test_an_array_of_another_form_is_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    np.savez(content, data=np.zeros((2, 10), np.uint8), labels=np.ones(2, int))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.npz", content.getvalue())
    with pytest.raises(DataSetError, match=r"a\.npz in .*a\.zip is \(\(2, 10\)"):
        next(imagenet_resized.read_array(tmp_path / "a.zip", "a.npz"))
