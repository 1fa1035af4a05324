"""All examples of a split in any order, wherever in its shards they lie."""

from pathlib import Path
from typing import Any

import numpy as np

from lopt.datasets.errors import DataSetError
from lopt.datasets.manifest_file import remedy
from lopt.datasets.streams.encoded_manifest import ShardEntry
from lopt.datasets.streams.examples import Example
from lopt.datasets.streams.shards import Shard


class EncodedImages:
    """A split as a sequence of examples: what a loader draws from, in any number of threads.

    Handed to another process, it is mapped there anew; images never travel between processes.

    **Example**

    ```python
    train = open_encoded(directory).images("train")
    train[1_281_166].name
    ```
    """

    def __init__(
        self,
        directory: Path,
        split: str,
        shards: tuple[ShardEntry, ...],
        sides: tuple[int, int] | None = None,
    ) -> None:
        self._arguments = (directory, split, shards, sides)
        self.directory, self.split, self.sides = directory, split, sides
        self._shards = [_mapped(directory, entry) for entry in shards]
        self._starts = np.cumsum([0, *(entry.count for entry in shards)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < len(self):
            raise IndexError(f"There is no image {index} among {len(self)}.")
        place = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._shards[place].example(index - int(self._starts[place]))

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), self._arguments)


def _mapped(directory: Path, entry: ShardEntry) -> Shard:
    shard = Shard(directory / entry.file)
    if len(shard) != entry.count:
        raise DataSetError(
            f"{directory / entry.file} holds {len(shard)} images, but the manifest says "
            f"{entry.count}. {remedy(directory)}"
        )
    return shard
