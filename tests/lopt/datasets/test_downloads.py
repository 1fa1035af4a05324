"""MNIST, Fashion-MNIST and CIFAR-10 through TFDS: downloaded, verified, prepared."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lopt.datasets import SOURCES, DataSetError, prepare
from lopt.datasets.builders import BUILDERS, Cifar10, FashionMnist, Mnist
from lopt.datasets.data_set import Split
from lopt.datasets.tfds import tfds
from tests.lopt.datasets.publisher import published, write_cifar, write_mnist

Examples = tuple[np.ndarray, np.ndarray]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    directory = tmp_path / "shelf"
    directory.mkdir()
    return directory


def made_up(count: int, *shape: int, seed: int) -> Examples:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, *shape), dtype=np.uint8)
    return images, random.integers(0, 10, count, dtype=np.uint8)


def same_examples(split: Split, *expected: Examples) -> bool:
    """Whether a split holds the expected examples, in whatever order."""
    found = Counter(zip(map(np.ndarray.tobytes, split.images), split.labels, strict=True))
    parts = (
        zip(map(np.ndarray.tobytes, images), labels, strict=True) for images, labels in expected
    )
    return found == Counter(pair for part in parts for pair in part)


@pytest.mark.parametrize("builder", [Mnist, FashionMnist])
def test_what_is_published_as_idx_files_is_what_is_read(
    builder: type[Mnist], shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = made_up(23, 28, 28, seed=1), made_up(11, 28, 28, seed=2)
    write_mnist(shelf, {"train": train, "t10k": test})
    with published(shelf) as url_infos:
        monkeypatch.setattr(builder, "url_infos", url_infos)
        prepared = prepare(builder.name, tmp_path, fashion_mnist_files=tmp_path / "empty")
    assert prepared.counts == {"train": 23, "test": 11}
    assert prepared.schema.image_shape == (28, 28, 1)
    assert same_examples(prepared.split("train"), train)
    assert same_examples(prepared.split("test"), test)


def test_what_is_published_as_a_cifar_archive_is_what_is_read(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = {f"data_batch_{number}": made_up(4, 32, 32, 3, seed=number) for number in range(1, 6)}
    test = made_up(7, 32, 32, 3, seed=6)
    write_cifar(shelf, {**batches, "test_batch": test})
    with published(shelf) as url_infos:
        monkeypatch.setattr(Cifar10, "url_infos", url_infos)
        prepared = prepare("cifar10", tmp_path)
    assert prepared.counts == {"train": 20, "test": 7}
    assert same_examples(prepared.split("train"), *batches.values())
    assert same_examples(prepared.split("test"), test)


def test_a_download_with_another_checksum_is_refused(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mnist(shelf, {"train": made_up(3, 28, 28, seed=1), "t10k": made_up(3, 28, 28, seed=2)})
    with published(shelf) as url_infos:
        monkeypatch.setattr(Mnist, "url_infos", url_infos)
        (shelf / "train-images-idx3-ubyte.gz").write_bytes(b"something else")
        with pytest.raises(DataSetError, match="TFDS could not prepare mnist"):
            prepare("mnist", tmp_path)
    assert [path.name for path in (tmp_path / "mnist").iterdir()] == [".lock"]


def test_a_file_that_the_publisher_took_away_is_told_at_once(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with published(shelf) as url_infos:
        assert url_infos == {}
        (shelf / "gone.gz").touch()
    with published(shelf) as url_infos:
        (shelf / "gone.gz").unlink()
        monkeypatch.setattr(Mnist, "url_infos", url_infos)
        with pytest.raises(DataSetError, match=r"gone\.gz cannot be reached: .*not found"):
            prepare("mnist", tmp_path)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_ours_are_the_stock_builders_but_for_how_files_are_read(name: str) -> None:
    stock, ours = tfds.builder_cls(name), BUILDERS[name]
    assert issubclass(ours, stock)
    assert ours.name == stock.name
    assert str(ours.VERSION) == str(stock.VERSION) == SOURCES[name].version
    assert ours.url_infos == stock.url_infos
    assert ours.url_infos
