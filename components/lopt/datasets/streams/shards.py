"""Encoded images in Arrow IPC files: written a record batch at a time, read from the map."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lopt.datasets.errors import DataSetError
from lopt.datasets.streams.examples import Example

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 256
"""Examples of a record batch: of 30 MB for ImageNet, and the most that is held when writing."""


def shard_schema(facts: Mapping[str, str]) -> "pa.Schema":
    """Return what the columns of a shard are, with `facts` in the metadata.

    **Example**

    ```python
    shard_schema({"name": "imagenet2012", "split": "train"})
    ```
    """
    import pyarrow as pa

    columns = [("name", pa.string()), ("image", pa.binary()), ("label", pa.int32())]
    return pa.schema(columns, metadata=dict(facts))


def write_shard(
    path: Path, batches: Iterable[Sequence[Example]], facts: Mapping[str, str]
) -> tuple[int, str]:
    """Write batches of `ROWS` examples, the last one of fewer; return how many and their digest.

    No more than one batch is held at a time. The digest is the SHA-256 over each example's label
    and length (int64, little-endian) and its bytes; it does not depend on how the file is written.

    **Example**

    ```python
    count, content = write_shard(path, [[Example("a.png", content, label=3)]], {})
    ```
    """
    import pyarrow as pa

    schema = shard_schema(facts)
    count, content = 0, hashlib.sha256()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for batch in batches:
            for example in batch:
                for number in (example.label, len(example.content)):
                    content.update(number.to_bytes(8, "little"))
                content.update(example.content)
            columns = [list(column) for column in zip(*batch, strict=True)]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            count += len(batch)
    return count, content.hexdigest()


class Shard:
    """One file of encoded images, mapped into memory: nothing is read before it is asked for.

    **Example**

    ```python
    Shard(path).example(17).label
    ```
    """

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        try:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
        except pa.ArrowInvalid as error:
            raise DataSetError(f"{path} is no Arrow IPC file ({error}).") from error
        self._batches = [reader.get_batch(index) for index in range(reader.num_record_batches)]

    def __len__(self) -> int:
        return sum(batch.num_rows for batch in self._batches)

    def example(self, row: int) -> Example:
        """Copy one example out of the map."""
        batch, place = divmod(row, ROWS)
        return Example(*(column[place].as_py() for column in self._batches[batch].columns))
