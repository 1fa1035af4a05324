"""Which data sets there are, and what is known of each without asking TFDS."""

import dataclasses
from collections.abc import Mapping

from lopt.datasets.errors import DataSetError


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
    examples: int
    """Of all splits together; foretells how long preparing takes, nothing else."""


SOURCES: Mapping[str, Source] = {
    "digits": Source("1.0.0", 1_797),
    "mnist": Source("3.0.1", 70_000),
    "fashion_mnist": Source("3.0.1", 70_000),
    "cifar10": Source("3.0.2", 60_000),
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
