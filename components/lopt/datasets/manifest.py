"""The manifest of a prepared data set: what it is, and how its files can be checked."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

FORMAT = 1
SPLITS = ("train", "test")


@dataclasses.dataclass(frozen=True)
class Schema:
    """What every example holds: a uint8 `image` and an int32 `label`.

    **Example**

    ```python
    Schema(image_shape=(8, 8, 1), classes=10)
    ```
    """

    image_shape: tuple[int, int, int]
    """Height, width, channels."""
    classes: int


def schema_as_json(schema: Schema) -> dict[str, Any]:
    """Return the schema as the manifest states it.

    **Example**

    ```python
    schema_as_json(Schema((8, 8, 1), classes=10))["image"]["shape"]  # [8, 8, 1]
    ```
    """
    return {
        "image": {"dtype": "uint8", "shape": list(schema.image_shape)},
        "label": {"dtype": "int32", "classes": schema.classes},
    }


@dataclasses.dataclass(frozen=True)
class SplitEntry:
    """One split, which is the file `<split>.arrow`.

    `content` is the SHA-256 of the images' bytes followed by the labels' (little-endian), so
    it is the same however the file around them is written; `sha256` is that of the file.

    **Example**

    ```python
    manifest.splits["train"].count
    ```
    """

    count: int
    content: str
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A data set by its TFDS name and version, with all that is in it.

    **Example**

    ```python
    read_manifest(directory).digest
    ```
    """

    name: str
    version: str
    schema: Schema
    splits: Mapping[str, SplitEntry]

    @property
    def digest(self) -> str:
        """SHA-256 over name, version, schema and the content of all splits.

        It speaks of the data, not of the files: another version of Arrow does not change it.
        """
        splits = {name: [entry.count, entry.content] for name, entry in self.splits.items()}
        facts = [self.name, self.version, schema_as_json(self.schema), splits]
        canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """Return what is written into the file."""
        return {
            "format": FORMAT,
            "name": self.name,
            "version": self.version,
            "schema": schema_as_json(self.schema),
            "splits": {name: dataclasses.asdict(entry) for name, entry in self.splits.items()},
            "digest": self.digest,
        }
