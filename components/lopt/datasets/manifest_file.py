"""Manifests on disk: written as JSON, and believed only after every key was checked."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lopt.datasets.errors import DataSetError
from lopt.datasets.manifest import FORMAT, SPLITS, Manifest, Schema, SplitEntry, schema_as_json

FILE_NAME = "manifest.json"


def write_manifest(manifest: Manifest, directory: Path) -> None:
    """Write the manifest into `directory`.

    **Example**

    ```python
    write_manifest(manifest, directory)
    ```
    """
    text = json.dumps(manifest.as_json(), indent=2) + "\n"
    (directory / FILE_NAME).write_text(text, encoding="utf-8")


def read_manifest(directory: Path) -> Manifest:
    """Read and check the manifest in `directory`; its files are not looked at.

    Raises `DataSetError` if it is missing, is not JSON, lacks a key or has an unknown one, holds
    a value of another type, is of another format or does not agree with its own digest.

    **Example**

    ```python
    read_manifest(directory).splits.keys()
    ```
    """
    with refusals_named(directory):
        return _parse(read_json(directory, FORMAT))


@contextlib.contextmanager
def refusals_named(directory: Path) -> Iterator[None]:
    """Turn a `ManifestError` into a `DataSetError` that names the file and says what to do.

    **Example**

    ```python
    with refusals_named(directory):
        content = read_json(directory, FORMAT)
    ```
    """
    try:
        yield
    except ManifestError as refusal:
        raise DataSetError(f"{directory / FILE_NAME}: {refusal}. {remedy(directory)}") from refusal


def read_json(directory: Path, form: int) -> object:
    """Read the manifest in `directory`, whose format has to be `form`; nothing else is checked.

    Raises `DataSetError` if it is missing or no JSON, and `ManifestError` if it is of another
    format.

    **Example**

    ```python
    read_json(directory, FORMAT)["name"]
    ```
    """
    path = directory / FILE_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataSetError(f"{directory} is no prepared data set: no {FILE_NAME}.") from error
    except ValueError as error:
        raise DataSetError(f"{path} is not JSON ({error}). {remedy(directory)}") from error
    # The format comes first: another one has other keys.
    if isinstance(content, dict) and content.get("format", form) != form:
        raise ManifestError(f"format {content['format']!r} is unknown, only {form} can be read")
    return content


def remedy(directory: Path) -> str:
    """Say what to do about a prepared data set that is damaged.

    **Example**

    ```python
    raise DataSetError(f"{path} is damaged. {remedy(path.parent)}")
    ```
    """
    return f"Remove the folder {directory} and prepare the data set again."


class ManifestError(Exception):
    """What is wrong with a manifest, without the file's name.

    **Example**

    ```python
    raise ManifestError("the digest is missing")
    ```
    """


def _parse(content: object) -> Manifest:
    keys = {"format": int, "name": str, "version": str, "schema": dict, "splits": dict}
    record = checked(content, keys | {"digest": str}, "the manifest")
    splits = checked(record["splits"], dict.fromkeys(SPLITS, dict), "splits")
    manifest = Manifest(
        name=record["name"],
        version=record["version"],
        schema=_parse_schema(record["schema"]),
        splits={name: _parse_split(name, split) for name, split in splits.items()},
    )
    if record["digest"] != manifest.digest:
        raise ManifestError(
            f"the digest is {record['digest']!r}, but of this it is {manifest.digest!r}"
        )
    return manifest


def _parse_schema(content: object) -> Schema:
    record = checked(content, {"image": dict, "label": dict}, "schema")
    image = checked(record["image"], {"dtype": str, "shape": list}, "schema.image")
    label = checked(record["label"], {"dtype": str, "classes": int}, "schema.label")
    match image["shape"]:
        case [int(height), int(width), int(channels)]:
            schema = Schema((height, width, channels), label["classes"])
        case shape:
            raise ManifestError(f"schema.image.shape is {shape!r}, but must be three whole numbers")
    if schema_as_json(schema) != content:
        raise ManifestError(f"the schema is {content!r}, but images are uint8 and labels int32")
    return schema


def _parse_split(name: str, content: object) -> SplitEntry:
    keys = {"count": int, "content": str, "bytes": int, "sha256": str}
    return SplitEntry(**checked(content, keys, f"splits.{name}"))


def checked(content: object, keys: Mapping[str, type], where: str) -> dict[str, Any]:
    """Return `content` if it is an object of exactly these keys, with values of these types.

    Raises `ManifestError` naming the key; `where` says whose keys they are.

    **Example**

    ```python
    checked({"count": 3}, {"count": int}, "splits.train")
    ```
    """
    if not isinstance(content, dict):
        raise ManifestError(f"{where} is {content!r}, but must be an object")
    for key, kind in keys.items():
        if key not in content:
            raise ManifestError(f"{where} lacks the key {key!r}")
        if type(content[key]) is not kind:
            raise ManifestError(
                f"{where}.{key} is {content[key]!r}, but must be of type {kind.__name__}"
            )
    if unknown := content.keys() - keys:
        raise ManifestError(
            f"{where} has the unknown key {min(unknown)!r}; known: {', '.join(keys)}"
        )
    return content
