"""The manifest of an encoded data set: what it is, and how its many files can be checked."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lopt.datasets.manifest import SPLITS
from lopt.datasets.manifest_file import (
    FILE_NAME,
    ManifestError,
    checked,
    read_json,
    refusals_named,
)

FORMAT = 2
"""That of `lopt.datasets.manifest`, whose images are arrays of one shape, is 1."""


@dataclasses.dataclass(frozen=True)
class ShardEntry:
    """One file with some of a split's images.

    `content` is the digest of the images and labels, `sha256` that of the file. `left_out` names
    the images that could not be decoded when the file was written, and so are not in it.

    **Example**

    ```python
    manifest.splits["train"][0].file  # "train-00000.arrow"
    ```
    """

    file: str
    count: int
    content: str
    bytes: int
    sha256: str
    left_out: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return what is written into the file."""
        return dataclasses.asdict(self) | {"left_out": list(self.left_out)}


@dataclasses.dataclass(frozen=True)
class EncodedManifest:
    """An encoded data set by its TFDS name and version, with all that is in it.

    **Example**

    ```python
    read_encoded_manifest(directory).counts["train"]
    ```
    """

    name: str
    version: str
    classes: int
    sides: tuple[int, int] | None
    """Height and width where images are bare RGB pixels; `None` where they are JPEGs or PNGs."""
    splits: Mapping[str, tuple[ShardEntry, ...]]

    @property
    def counts(self) -> dict[str, int]:
        """Number of images of each split."""
        return {name: sum(shard.count for shard in split) for name, split in self.splits.items()}

    @property
    def digest(self) -> str:
        """SHA-256 over name, version, form and the content of all shards in their order."""
        splits = {
            name: [[shard.count, shard.content] for shard in split]
            for name, split in self.splits.items()
        }
        facts = [self.name, self.version, self.classes, self.sides, splits]
        canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """Return what is written into the file."""
        return {
            "format": FORMAT,
            "name": self.name,
            "version": self.version,
            "classes": self.classes,
            "sides": list(self.sides) if self.sides else None,
            "splits": {
                name: [shard.as_json() for shard in split] for name, split in self.splits.items()
            },
            "digest": self.digest,
        }


def write_encoded_manifest(manifest: EncodedManifest, directory: Path) -> None:
    """Write the manifest into `directory`.

    **Example**

    ```python
    write_encoded_manifest(manifest, directory)
    ```
    """
    text = json.dumps(manifest.as_json(), indent=1) + "\n"
    (directory / FILE_NAME).write_text(text, encoding="utf-8")


def read_encoded_manifest(directory: Path) -> EncodedManifest:
    """Read and check the manifest in `directory`; its files are not looked at.

    Raises `DataSetError` as `read_manifest` does.

    **Example**

    ```python
    read_encoded_manifest(directory).splits.keys()
    ```
    """
    with refusals_named(directory):
        return _parse(read_json(directory, FORMAT))


def parse_shard(content: object, where: str) -> ShardEntry:
    """Check what is said of one file.

    Raises `ManifestError`.

    **Example**

    ```python
    parse_shard(entry.as_json(), "splits.train.0") == entry
    ```
    """
    kinds = {"file": str, "count": int, "content": str, "bytes": int, "sha256": str}
    record = checked(content, kinds | {"left_out": list}, where)
    return ShardEntry(**record | {"left_out": tuple(map(str, record["left_out"]))})


def _parse(content: object) -> EncodedManifest:
    keys = {"format": int, "name": str, "version": str, "classes": int}
    sides = content.get("sides") if isinstance(content, dict) else None
    record = checked(
        content,
        keys | {"sides": type(sides), "splits": dict, "digest": str},
        "the manifest",
    )
    splits = checked(record["splits"], dict.fromkeys(SPLITS, list), "splits")
    manifest = EncodedManifest(
        name=record["name"],
        version=record["version"],
        classes=record["classes"],
        sides=_parse_sides(sides),
        splits={
            name: tuple(
                parse_shard(entry, f"splits.{name}.{place}") for place, entry in enumerate(split)
            )
            for name, split in splits.items()
        },
    )
    if record["digest"] != manifest.digest:
        raise ManifestError(
            f"the digest is {record['digest']!r}, but of this it is {manifest.digest!r}"
        )
    return manifest


def _parse_sides(content: object) -> tuple[int, int] | None:
    match content:
        case None:
            return None
        case [int(height), int(width)]:
            return height, width
        case _:
            raise ManifestError(f"sides is {content!r}, but must be null or two whole numbers")
