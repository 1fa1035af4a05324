"""One part of a split as one file, made only once, of images that can be decoded."""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Literal

from lopt.datasets.data_set import file_digest
from lopt.datasets.errors import DataSetError
from lopt.datasets.folders import sync
from lopt.datasets.manifest_file import ManifestError
from lopt.datasets.streams.decoding import UndecodableError, check
from lopt.datasets.streams.encoded_manifest import ShardEntry, parse_shard
from lopt.datasets.streams.examples import Example, Part
from lopt.datasets.streams.shards import ROWS, write_shard

Damaged = Literal["refuse", "leave_out"]
"""What is done about an image that cannot be decoded; in either case it is named."""


def make_part(
    part: Part,
    path: Path,
    record: Path,
    *,
    facts: dict[str, str],
    decoded: bool,
    damaged: Damaged,
    on_examples: Callable[[int], None],
) -> ShardEntry:
    """Return what the manifest says of the file `path`, after writing it if need be.

    It need not if the file `record` says that it was; a `record` is written last. Images are
    decoded on all cores to see whether they can be, unless they are bare pixels (`decoded`
    false). `on_examples` gets the number of examples that were dealt with.

    Raises `DataSetError` naming the images that cannot be decoded, where they are refused.

    **Example**

    ```python
    entry = make_part(part, path, record, facts={}, decoded=True, damaged="refuse",
                      on_examples=lambda examples: None)
    ```
    """
    if (entry := _recorded(record, path)) is not None:
        on_examples(entry.count + len(entry.left_out))
        return entry
    left_out: list[str] = []
    examples = _grouped(part.read())
    if decoded:
        examples = _sound(examples, damaged, left_out)
    beside = path.with_suffix(".writing")
    count, content = write_shard(beside, _told(examples, on_examples), facts)
    sync(beside)
    beside.replace(path)
    size, digest = path.stat().st_size, file_digest(path)
    entry = ShardEntry(path.name, count, content, size, digest, tuple(left_out))
    _write(entry, record)
    return entry


def _recorded(record: Path, path: Path) -> ShardEntry | None:
    try:
        entry = parse_shard(json.loads(record.read_text(encoding="utf-8")), record.name)
    except (FileNotFoundError, ValueError, ManifestError):
        return None
    whole = path.is_file() and path.stat().st_size == entry.bytes
    return entry if whole else None


def _write(entry: ShardEntry, record: Path) -> None:
    beside = record.with_suffix(".writing")
    beside.write_text(json.dumps(entry.as_json()), encoding="utf-8")
    beside.replace(record)


def _grouped(examples: Iterator[Example]) -> Iterator[list[Example]]:
    while group := list(islice(examples, ROWS)):
        yield group


def _told(
    groups: Iterator[list[Example]], on_examples: Callable[[int], None]
) -> Iterator[list[Example]]:
    for group in groups:
        yield group
        on_examples(len(group))


def _sound(
    groups: Iterator[list[Example]], damaged: Damaged, left_out: list[str]
) -> Iterator[list[Example]]:
    """Yield groups of `ROWS` again, without damaged images; those are added to `left_out`."""
    return _grouped(example for group in _checked(groups, damaged, left_out) for example in group)


def _checked(
    groups: Iterator[list[Example]], damaged: Damaged, left_out: list[str]
) -> Iterator[list[Example]]:
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        for group in groups:
            faults = list(threads.map(_fault, group))
            found = [
                f"{example.name} ({fault})"
                for example, fault in zip(group, faults, strict=True)
                if fault
            ]
            if found and damaged == "refuse":
                raise DataSetError(
                    f"Of the images {group[0].name} to {group[-1].name} these cannot be decoded: "
                    f"{', '.join(found)}. Fetch the file that they are in again, or have such "
                    "images left out (damaged_images: leave_out)."
                )
            left_out += [
                example.name for example, fault in zip(group, faults, strict=True) if fault
            ]
            yield [example for example, fault in zip(group, faults, strict=True) if not fault]


def _fault(example: Example) -> str | None:
    try:
        check(example.content)
    except UndecodableError as error:
        return str(error)
    return None
