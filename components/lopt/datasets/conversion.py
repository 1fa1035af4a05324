"""From what TFDS has prepared to Arrow files with a manifest."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lopt.datasets.arrow_files import Images, Labels, arrow_schema, write_arrow
from lopt.datasets.data_set import file_digest, split_path
from lopt.datasets.manifest import SPLITS, Manifest, Schema, SplitEntry
from lopt.datasets.manifest_file import write_manifest

EXAMPLES_AT_ONCE = 1_000


def convert(builder: Any, directory: Path, on_examples: Callable[[int], None]) -> Manifest:
    """Write the splits of a prepared TFDS `builder` and their manifest into `directory`.

    `on_examples` is called with the number of examples that were read since its last call.
    The examples keep TFDS's order, which is shuffled and always the same.

    **Example**

    ```python
    manifest = convert(builder, directory, lambda examples: None)
    ```
    """
    features = builder.info.features
    schema = Schema(tuple(features["image"].shape), features["label"].num_classes)
    name, version = builder.name, str(builder.version)
    splits = {}
    for split in SPLITS:
        images, labels = read_examples(builder.as_data_source(split=split), schema, on_examples)
        path = split_path(directory, split)
        facts = {"name": name, "version": version, "split": split}
        write_arrow(path, images, labels, arrow_schema(schema, facts))
        splits[split] = SplitEntry(
            count=len(labels),
            content=content_digest(images, labels),
            bytes=path.stat().st_size,
            sha256=file_digest(path),
        )
    manifest = Manifest(name, version, schema, splits)
    write_manifest(manifest, directory)
    return manifest


def read_examples(
    source: Any, schema: Schema, on_examples: Callable[[int], None]
) -> tuple[Images, Labels]:
    """Read all examples of a TFDS data source into two arrays.

    **Example**

    ```python
    images, labels = read_examples(builder.as_data_source(split="train"), schema, print)
    ```
    """
    count = len(source)
    images = np.empty((count, *schema.image_shape), np.uint8)
    labels = np.empty((count,), np.int32)
    for first in range(0, count, EXAMPLES_AT_ONCE):
        places = range(first, min(first + EXAMPLES_AT_ONCE, count))
        for place, example in zip(places, source.__getitems__(list(places)), strict=True):
            images[place], labels[place] = example["image"], example["label"]
        on_examples(len(places))
    return images, labels


def content_digest(images: Images, labels: Labels) -> str:
    """Return the SHA-256 of the images' bytes followed by the labels' (little-endian).

    **Example**

    ```python
    content_digest(split.images, split.labels)
    ```
    """
    content = hashlib.sha256(np.ascontiguousarray(images).data)
    content.update(labels.astype("<i4").data)
    return content.hexdigest()
