"""What an encoded data set is made of: examples, and parts of a split that become one file each."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Example(NamedTuple):
    """One image as it was published, with its label.

    **Example**

    ```python
    Example("n01440764_10026.JPEG", content, label=0)
    ```
    """

    name: str
    """What whoever has to be told of the image knows it by."""
    content: bytes
    """The bytes of a JPEG, a PNG or the like; or of the pixels alone, row by row, RGB."""
    label: int


@dataclasses.dataclass(frozen=True)
class Part:
    """Some examples of a split, which can be read again and again: the unit of resuming.

    **Example**

    ```python
    Part("train", lambda: iter([Example("a.png", content, label=3)]))
    ```
    """

    split: str
    read: Callable[[], Iterator[Example]]
    """Yields the examples one by one, always in the same order."""
