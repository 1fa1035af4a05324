"""Which data sets there are, and what is known of each without asking TFDS."""

import dataclasses
from collections.abc import Mapping

from lopt.datasets.errors import DataSetError
from lopt.datasets.manifest import Schema


@dataclasses.dataclass(frozen=True)
class Source:
    """What is known of a data set before it is prepared.

    **Example**

    ```python
    SOURCES["digits"].version  # "1.0.0"
    ```
    """

    version: str
    """TFDS's version of the data set."""
    schema: Schema
    """Shape of the images and number of classes."""
    training_examples: int
    examples: int
    """Of all splits together. Both numbers foretell; what was prepared is not held against them."""


SOURCES: Mapping[str, Source] = {
    "digits": Source("1.0.0", Schema((8, 8, 1), classes=10), 1_442, 1_797),
    "mnist": Source("3.0.1", Schema((28, 28, 1), classes=10), 60_000, 70_000),
    "fashion_mnist": Source("3.0.1", Schema((28, 28, 1), classes=10), 60_000, 70_000),
    "cifar10": Source("3.0.2", Schema((32, 32, 3), classes=10), 50_000, 60_000),
}


def find_source(name: str) -> Source:
    """Return what is known of the data set called `name`.

    Raises `DataSetError` naming the data sets there are.

    **Example**

    ```python
    find_source("mnist").examples  # 70000
    ```
    """
    if name not in SOURCES:
        raise DataSetError(f"Unknown data set {name!r}; known: {', '.join(SOURCES)}.")
    return SOURCES[name]
