"""A prepared set of encoded images: opened in a moment, however large it is."""

import dataclasses
from pathlib import Path

from lopt.datasets.data_set import file_digest
from lopt.datasets.errors import DataSetError
from lopt.datasets.manifest_file import remedy
from lopt.datasets.streams.encoded_manifest import (
    EncodedManifest,
    ShardEntry,
    read_encoded_manifest,
)
from lopt.datasets.streams.source import EncodedImages


@dataclasses.dataclass(frozen=True)
class EncodedSet:
    """A reference to a prepared set of encoded images.

    **Example**

    ```python
    imagenet = open_encoded(directory)
    imagenet.counts["train"]  # 1281167
    ```
    """

    directory: Path
    manifest: EncodedManifest = dataclasses.field(hash=False)

    @property
    def name(self) -> str:
        """TFDS's name, or ours for what TFDS has not."""
        return self.manifest.name

    @property
    def version(self) -> str:
        """TFDS's version."""
        return self.manifest.version

    @property
    def digest(self) -> str:
        """SHA-256 of the content: two sets with one digest hold the same images."""
        return self.manifest.digest

    @property
    def counts(self) -> dict[str, int]:
        """Number of images of each split."""
        return self.manifest.counts

    @property
    def left_out(self) -> tuple[str, ...]:
        """Names of the images that could not be decoded when the set was prepared."""
        shards = [shard for split in self.manifest.splits.values() for shard in split]
        return tuple(name for shard in shards for name in shard.left_out)

    def images(self, split: str) -> EncodedImages:
        """Map the images of the split called `split`; "train" and "test" always exist.

        Raises `DataSetError` if there is none of that name.
        """
        splits = self.manifest.splits
        if split not in splits:
            raise DataSetError(
                f"{self.name} has no split {split!r}; there are: {', '.join(splits)}."
            )
        return EncodedImages(self.directory, split, splits[split], self.manifest.sides)


def open_encoded(directory: Path) -> EncodedSet:
    """Open the prepared set in `directory` after checking that its files are there and whole.

    Lengths are checked, content is not: reading all of ImageNet takes minutes (`check_content`
    does it). Raises `DataSetError`, naming file and key, for what is missing or of another length.

    **Example**

    ```python
    imagenet = open_encoded(directory)
    ```
    """
    directory = Path(directory).absolute()
    manifest = read_encoded_manifest(directory)
    for shard in _shards(manifest):
        path = directory / shard.file
        if not path.is_file():
            raise DataSetError(f"{path} is missing. {remedy(directory)}")
        if (size := path.stat().st_size) != shard.bytes:
            raise DataSetError(
                f"{path} has {size} bytes, but the manifest says {shard.bytes}. {remedy(directory)}"
            )
    return EncodedSet(directory, manifest)


def check_content(encoded: EncodedSet) -> None:
    """Compare the SHA-256 of every file with the manifest's: minutes for all of ImageNet.

    Raises `DataSetError` naming the first file that has changed.

    **Example**

    ```python
    check_content(open_encoded(directory))
    ```
    """
    for shard in _shards(encoded.manifest):
        path = encoded.directory / shard.file
        if (digest := file_digest(path)) != shard.sha256:
            raise DataSetError(
                f"{path} has the SHA-256 {digest}, but the manifest says {shard.sha256}: its "
                f"content has changed. {remedy(encoded.directory)}"
            )


def _shards(manifest: EncodedManifest) -> list[ShardEntry]:
    return [shard for split in manifest.splits.values() for shard in split]
