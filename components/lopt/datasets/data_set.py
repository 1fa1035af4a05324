"""A prepared data set: a folder that is checked once and then read from its memory maps."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path

from lopt.datasets.arrow_files import Images, Labels, arrow_schema, map_arrow
from lopt.datasets.errors import DataSetError
from lopt.datasets.manifest import Schema, SplitEntry
from lopt.datasets.manifest_file import read_manifest, remedy


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """All examples of one split, as views of a memory map: read-only and not yet read.

    `jax.device_put` takes them on a CPU as they lie, without a copy; `jnp.asarray` copies.

    **Example**

    ```python
    train = data_set.split("train")
    images = jax.device_put(train.images)
    ```
    """

    name: str
    images: Images
    """Grey or colour levels from 0 to 255."""
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A reference to a prepared data set, small enough to be handed from process to process.

    **Example**

    ```python
    data_set = lopt.datasets.prepare("digits", root)
    data_set.counts["train"]  # 1442
    data_set.split("train").images.shape  # (1442, 8, 8, 1)
    ```
    """

    name: str
    version: str
    """TFDS's version."""
    digest: str
    """SHA-256 of the content: two data sets with one digest hold the same examples."""
    directory: Path
    schema: Schema
    """Shape of the images and number of classes."""
    counts: Mapping[str, int] = dataclasses.field(hash=False)
    """Number of examples for each split; the digest stands for them in the hash."""

    def split(self, name: str) -> Split:
        """Map the examples of the split called `name`; "train" and "test" always exist.

        Raises `DataSetError` if there is none of that name, or if its file is no longer of
        the form that it had when the data set was opened.
        """
        if name not in self.counts:
            raise DataSetError(
                f"{self.name} has no split {name!r}; there are: {', '.join(self.counts)}."
            )
        schema = arrow_schema(
            self.schema, {"name": self.name, "version": self.version, "split": name}
        )
        images, labels = map_arrow(split_path(self.directory, name), schema)
        return Split(name, images, labels)


def open_dataset(directory: Path) -> DataSet:
    """Open the prepared data set in `directory` after checking every byte of its files.

    The check reads all files once, at the speed of SHA-256 (0.05 s for Fashion-MNIST).
    Raises `DataSetError`, naming file and key, if anything is missing, is not as long as the
    manifest says or has another digest.

    **Example**

    ```python
    data_set = open_dataset(dataset_directory("digits", root))
    ```
    """
    directory = Path(directory).absolute()
    manifest = read_manifest(directory)
    for name, entry in manifest.splits.items():
        _check_file(split_path(directory, name), entry)
    return DataSet(
        name=manifest.name,
        version=manifest.version,
        digest=manifest.digest,
        directory=directory,
        schema=manifest.schema,
        counts={name: entry.count for name, entry in manifest.splits.items()},
    )


def split_path(directory: Path, split: str) -> Path:
    """Return the file of a split.

    **Example**

    ```python
    split_path(directory, "train").name  # "train.arrow"
    ```
    """
    return directory / f"{split}.arrow"


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file.

    **Example**

    ```python
    file_digest(split_path(directory, "train"))
    ```
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_file(path: Path, entry: SplitEntry) -> None:
    if not path.is_file():
        raise DataSetError(f"{path} is missing. {remedy(path.parent)}")
    if (size := path.stat().st_size) != entry.bytes:
        raise DataSetError(
            f"{path} has {size} bytes, but the manifest says {entry.bytes}. {remedy(path.parent)}"
        )
    if (digest := file_digest(path)) != entry.sha256:
        raise DataSetError(
            f"{path} has the SHA-256 {digest}, but the manifest says {entry.sha256}: its content "
            f"has changed. {remedy(path.parent)}"
        )
