"""A network under a name, to be trained on whichever images it can take."""

import dataclasses
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from jaxtyping import Array, Key

from lopt.datasets import DataSet
from lopt.evaluation.target import Target
from lopt.evaluation.targets.image_classification import ImageClassification
from lopt.evaluation.targets.normalized_image_classification import NormalizedImageClassification
from lopt.problems.base import Params

Shape = tuple[int, int, int]


@runtime_checkable
class Make(Protocol):
    """Draws a network for images of a shape and a number of classes."""

    def __call__(self, shape: Shape, classes: int, *, key: Key[Array, ""]) -> Params:
        """Return the network, which is its own params."""


@dataclasses.dataclass(frozen=True)
class ImageNetwork:
    """One name, and by `on` a target for each data set: "<data set>/<name>".

    A network that is not for all images says how many pixels they need to have in height and
    width (`smallest`) and how many channels. With `remembers` it is one with batch
    normalization, `lopt.evaluation.classification_with_memory.NetworkWithMemory`.

    A constant of a module in `lopt.evaluation.targets` is found by its name.

    **Example**

    ```python
    SOFTMAX = ImageNetwork("softmax", SoftmaxRegression)
    target = SOFTMAX.on(prepare("digits", root), steps=500)  # "digits/softmax"
    ```
    """

    name: str
    make: Make
    smallest: int = 1
    channels: int | None = None
    remembers: bool = False

    def refusal(self, shape: Shape) -> str | None:
        """Say what is wrong with images of this shape, or `None` if nothing is.

        **Example**

        ```python
        SIX_LAYERS.refusal((8, 8, 3))  # None
        ```
        """
        height, width, channels = shape
        found = f"but the images have {height} x {width} x {channels}"
        if min(height, width) < self.smallest:
            return f"needs images of at least {self.smallest} x {self.smallest} pixels, {found}"
        if self.channels not in (None, channels):
            return f"needs images with {self.channels} channels, {found}"
        return None

    def on(self, data_set: DataSet, steps: int = 500, record_every: int = 10) -> Target:
        """Return the target of this network on a data set, in minibatches of 64.

        Raises `ValueError` for images that it is not made for.

        **Example**

        ```python
        target = SOFTMAX.on(prepare("digits", root), steps=500, record_every=10)
        ```
        """
        name, schema = f"{data_set.name}/{self.name}", data_set.schema
        if refusal := self.refusal(schema.image_shape):
            raise ValueError(f"The target {name!r} {refusal}. Take another data set.")
        kind = NormalizedImageClassification if self.remembers else ImageClassification
        return kind.of(
            data_set.split("train"),
            data_set.split("test"),
            self.of_size(schema.image_shape, schema.classes),
            name=name,
            steps=steps,
            record_every=record_every,
        )

    def of_size(self, shape: Shape, classes: int) -> Callable[[Key[Array, ""]], Params]:
        """Return what draws the network from a key; equal for equal arguments, and hashable.

        **Example**

        ```python
        network = SOFTMAX.of_size((8, 8, 1), 10)(jax.random.key(0))
        ```
        """
        return _Sized(self.make, shape, classes)


@dataclasses.dataclass(frozen=True)
class _Sized:
    """Draws a network from a key; two of one make and one size are equal, and so one program."""

    make: Make
    shape: Shape
    classes: int

    def __call__(self, key: Key[Array, ""]) -> Params:
        return self.make(self.shape, self.classes, key=key)
