"""TFDS's builders of our data sets, able to prepare without TensorFlow.

TFDS needs TensorFlow to unpack downloads and to encode arrays as images, but not to check
downloads, to encode PIL images or to write ArrayRecord files. So the stock builders are kept
whole (names, versions, features, registered URLs and checksums) and only read their files
differently; what they prepare is what the stock builder of the same name reads.
https://www.tensorflow.org/datasets/tfless_tfds
"""

# TFDS has no types, so its builders are Any, and their class arguments are unknown.
# mypy: allow-subclassing-any, disable-error-code="call-arg"

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lopt.datasets.digits import labelled_digits
from lopt.datasets.raw_files import read_cifar, read_cifar_names, read_idx
from lopt.datasets.sources import SOURCES
from lopt.datasets.tfds import cifar, mnist, tfds

Examples = Iterator[tuple[int, dict[str, Any]]]


class TensorFlowFree:
    """Mixed into a builder: examples are counted as they are made, and nothing is printed."""

    on_example: Callable[[], None]

    def _counted(self, labelled: Iterable[tuple[np.ndarray, int]]) -> Examples:
        for index, (image, label) in enumerate(labelled):
            self.on_example()
            yield index, {"image": Image.fromarray(image), "label": int(label)}

    def _log_download_bytes(self) -> None:
        """Stay silent: the library never prints."""

    def _log_download_done(self) -> None:
        """Stay silent: the library never prints."""


class Digits(TensorFlowFree, tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """The 1,797 handwritten digits of 8x8 pixels that scikit-learn carries with it.

    scikit-learn's grey levels 0 to 16 are spread over 0 to 255, as in the other data sets.
    Of each class every fifth image, in scikit-learn's order, is for testing: a split without
    randomness, stratified, 1,442 to 355. The writers are not recorded, so both splits show
    the hands of the same people.
    https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits
    """

    name = "digits"
    VERSION = tfds.core.Version(SOURCES["digits"].version)
    url_infos: Mapping[str, Any] = {}

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(8, 8, 1)),
                "label": tfds.features.ClassLabel(num_classes=10),
            }
        )
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager: Any) -> dict[str, Examples]:
        del dl_manager
        splits = labelled_digits().items()
        return {split: self._generate_examples(*labelled) for split, labelled in splits}

    def _generate_examples(self, images: np.ndarray, labels: np.ndarray) -> Examples:
        return self._counted(zip(images, labels, strict=True))


class IdxFiles(TensorFlowFree):
    """Mixed into the builders of MNIST's family: four gzipped IDX files."""

    url_infos: Mapping[str, Any]

    def _split_generators(self, dl_manager: Any) -> dict[str, Examples]:
        urls = {url.rpartition("/")[2]: url for url in self.url_infos}
        files = {name: Path(path) for name, path in dl_manager.download(urls).items()}
        return {
            split: self._generate_examples(
                files[f"{prefix}-images-idx3-ubyte.gz"], files[f"{prefix}-labels-idx1-ubyte.gz"]
            )
            for split, prefix in (("train", "train"), ("test", "t10k"))
        }

    def _generate_examples(self, images: Path, labels: Path) -> Examples:
        return self._counted(zip(read_idx(images), read_idx(labels), strict=True))


class Mnist(IdxFiles, mnist.MNIST, skip_registration=True):
    """TFDS's `mnist`."""

    name = "mnist"
    url_infos = mnist.MNIST.url_infos


class FashionMnist(IdxFiles, mnist.FashionMNIST, skip_registration=True):
    """TFDS's `fashion_mnist`."""

    name = "fashion_mnist"
    url_infos = mnist.FashionMNIST.url_infos


class Cifar10(TensorFlowFree, cifar.Cifar10, skip_registration=True):
    """TFDS's `cifar10`."""

    name = "cifar10"
    url_infos = cifar.Cifar10.url_infos

    def _split_generators(self, dl_manager: Any) -> dict[str, Examples]:
        (url,) = self.url_infos
        archive = Path(dl_manager.download(url))
        self.info.features["label"].names = read_cifar_names(archive)
        return {
            "train": self._generate_examples("train_", archive),
            "test": self._generate_examples("test_", archive),
        }

    def _generate_examples(self, split_prefix: str, archive: Path) -> Examples:
        batches = "data" if split_prefix == "train_" else "test"
        for index, example in self._counted(read_cifar(archive, batches)):
            yield index, {**example, "id": f"{split_prefix}{index:05d}"}


BUILDERS: Mapping[str, type[tfds.core.GeneratorBasedBuilder]] = {
    builder.name: builder for builder in (Digits, Mnist, FashionMnist, Cifar10)
}
