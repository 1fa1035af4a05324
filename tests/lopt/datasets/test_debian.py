"""Fashion-MNIST from Debian's package: the published bytes, and no network."""

import hashlib
import shutil
from collections import Counter
from pathlib import Path

import pytest

from lopt.datasets import DataSetError, open_dataset, prepare
from lopt.datasets.builders import FashionMnist
from lopt.datasets.debian import (
    DEBIAN_FASHION_MNIST,
    has_fashion_mnist,
    restore_fashion_mnist,
)
from lopt.datasets.raw_files import read_idx
from tests.lopt.datasets.processes import start_preparing

needs_package = pytest.mark.skipif(
    not has_fashion_mnist(DEBIAN_FASHION_MNIST),
    reason="needs Debian's package dataset-fashion-mnist",
)


@needs_package
def test_restored_files_have_the_checksums_that_tfds_has_on_record(tmp_path: Path) -> None:
    restore_fashion_mnist(DEBIAN_FASHION_MNIST, tmp_path)
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()
    }
    assert found == {info.filename: info.checksum for info in FashionMnist.url_infos.values()}


@needs_package
def test_files_of_other_content_are_refused_by_tfds(tmp_path: Path) -> None:
    files = tmp_path / "files"
    shutil.copytree(DEBIAN_FASHION_MNIST, files)
    labels = files / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\xff")
    with pytest.raises(DataSetError, match="could not prepare fashion_mnist"):
        prepare("fashion_mnist", tmp_path, fashion_mnist_files=files)


def test_a_folder_with_some_of_the_files_is_not_the_package(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte.gz").touch()
    assert not has_fashion_mnist(tmp_path)


@needs_package
@pytest.mark.slow
def test_all_of_fashion_mnist_is_prepared_offline_and_without_tensorflow(tmp_path: Path) -> None:
    output, _ = start_preparing("fashion_mnist", tmp_path, tmp_path / "fake").communicate()
    assert "imported by preparing: tensorflow_datasets pyarrow PIL\n" in output
    (directory,) = (tmp_path / "fashion_mnist").glob("3.0.1-*")
    prepared = open_dataset(directory)
    assert prepared.digest == "a2baa77b7a79993d25c0f555b70da642bb85ebcd349b4a2daf787935acd6c228"
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = read_idx(DEBIAN_FASHION_MNIST / f"{prefix}-images-idx3-ubyte.gz")
        labels = read_idx(DEBIAN_FASHION_MNIST / f"{prefix}-labels-idx1-ubyte.gz")
        found = prepared.split(split)
        assert Counter(
            (image.tobytes(), label) for image, label in zip(images, labels, strict=True)
        ) == Counter(
            (image.tobytes(), label)
            for image, label in zip(found.images, found.labels, strict=True)
        )
