"""A split as one uncompressed Arrow IPC file, read as NumPy views of its memory map."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int32, UInt8

from lopt.datasets.errors import DataSetError
from lopt.datasets.manifest import Schema

if TYPE_CHECKING:
    import pyarrow as pa

Images = UInt8[np.ndarray, "examples height width channels"]
Labels = Int32[np.ndarray, " examples"]

ALIGNMENT = 64
"""Bytes; JAX's CPU backend copies what does not begin at a multiple of it."""


def arrow_schema(schema: Schema, facts: Mapping[str, str]) -> "pa.Schema":
    """Return Arrow's form of `schema`, with `facts` in its metadata.

    An image is a fixed-shape tensor, which tells any reader of Arrow its shape.
    https://arrow.apache.org/docs/format/CanonicalExtensions.html#fixed-shape-tensor

    **Example**

    ```python
    arrow_schema(Schema((8, 8, 1), classes=10), {"name": "digits"})
    ```
    """
    import pyarrow as pa

    image = pa.fixed_shape_tensor(pa.uint8(), schema.image_shape)
    columns = [("image", image), ("label", pa.int32())]
    return pa.schema(columns, metadata={**facts, "classes": str(schema.classes)})


def write_arrow(path: Path, images: Images, labels: Labels, schema: "pa.Schema") -> None:
    """Write a split as one record batch, so that each column is one block of memory.

    The images begin at a multiple of `ALIGNMENT`; so do the labels behind them if the images'
    bytes are a multiple of it, as those of all our data sets are.

    **Example**

    ```python
    write_arrow(path, images, labels, arrow_schema(Schema((8, 8, 1), classes=10), {}))
    ```
    """
    import pyarrow as pa

    pixels = pa.array(np.ravel(images))
    image = pa.FixedSizeListArray.from_arrays(pixels, int(np.prod(images.shape[1:])))
    image = pa.ExtensionArray.from_storage(schema.field("image").type, image)
    batch = pa.record_batch([image, pa.array(labels)], schema=schema)
    body = sum(-(-column.nbytes // 8) * 8 for column in (images, labels))
    with pa.MockOutputStream() as nowhere:
        begin = _write_batch(nowhere, batch, padding=0) - body
    with pa.OSFile(str(path), "wb") as sink:
        _write_batch(sink, batch, padding=-begin % ALIGNMENT)


def _write_batch(sink: "pa.NativeFile", batch: "pa.RecordBatch", padding: int) -> int:
    """Write a file of one batch, and return where in it the batch ends.

    Arrow has no option for where columns begin, but metadata of the batch moves them.
    """
    import pyarrow as pa

    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch, custom_metadata={"padding": " " * padding})
        end: int = sink.tell()
    return end


def map_arrow(path: Path, schema: "pa.Schema") -> tuple[Images, Labels]:
    """Map the file at `path` into memory and return images and labels as read-only views.

    Nothing is read before it is looked at, and nothing is copied; the map lives as long as
    one of the views. Raises `DataSetError` if the file is no Arrow file of this schema.

    **Example**

    ```python
    images, labels = map_arrow(path, arrow_schema(Schema((8, 8, 1), classes=10), {}))
    ```
    """
    import pyarrow as pa

    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
    except pa.ArrowInvalid as error:
        raise DataSetError(f"{path} is no Arrow IPC file ({error}).") from error
    if not reader.schema.equals(schema, check_metadata=True) or reader.num_record_batches != 1:
        raise DataSetError(f"{path} must be one record batch of\n{schema}\nbut is\n{reader.schema}")
    batch = reader.get_batch(0)
    return batch["image"].to_numpy_ndarray(), batch["label"].to_numpy(zero_copy_only=True)
