"""Networks on images that are decoded while they learn: "<images>@<pixels>/<network>"."""

import dataclasses
import os
import re
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from lopt.datasets.streams import EncodedSet, open_stream, standardised
from lopt.datasets.streams.views import EvaluationView
from lopt.evaluation.classification import Classification
from lopt.evaluation.classification_with_memory import ClassificationWithMemory
from lopt.evaluation.image_network import ImageNetwork
from lopt.evaluation.target import Target
from lopt.evaluation.targets.image_classification import ImageClassification
from lopt.evaluation.targets.normalized_image_classification import NormalizedImageClassification
from lopt.evaluation.targets.streamed import StreamedTarget
from lopt.problems.base import Batch

MEASURED = 512
"""Images of either split on which losses and accuracy are measured."""
_NAME = re.compile(r"(?P<images>.+)@(?P<pixels>[1-9]\d*)/(?P<network>[^/]+)")


@dataclasses.dataclass(frozen=True)
class StreamName:
    """What the name of a target says: which images, how large a network sees them, which network.

    **Example**

    ```python
    StreamName.of("imagenet2012@224/resnet50").pixels  # 224
    ```
    """

    images: str
    pixels: int
    network: str

    @classmethod
    def of(cls, name: str) -> "StreamName | None":
        """Return what a name says, `None` if it is not of this form."""
        found = _NAME.fullmatch(name)
        return found and cls(found["images"], int(found["pixels"]), found["network"])


def streamed_target(
    name: str,
    images: EncodedSet,
    network: ImageNetwork,
    steps: int,
    record_every: int,
    batch_size: int = 64,
    processes: int = 0,
) -> StreamedTarget:
    """Return the target of this name, the network being the one that it says.

    The images of each seed are decoded by `processes`, by threads of this one if that is 0.

    Losses and accuracy are measured on 512 images of the training and of the test split, evenly
    spread over the files, each in its middle: they have to be on the device in every step.

    Raises `ValueError` for a name of another form and for images that the network cannot take.

    **Example**

    ```python
    imagenet = open_encoded(directory)
    target = streamed_target("imagenet2012@224/resnet50", imagenet, RESNET, 10_000, 100)
    ```
    """
    said = StreamName.of(name)
    if said is None:
        raise ValueError(f"{name!r} does not say <images>@<pixels>/<network>, as streams have to.")
    shape = (said.pixels, said.pixels, 3)
    if refusal := network.refusal(shape):
        raise ValueError(f"The target {name!r} {refusal}. Take more pixels.")
    train, test = (_middles(images, split, said.pixels) for split in ("train", "test"))
    drawn = network.of_size(shape, images.manifest.classes)
    measured: Target
    if network.remembers:
        remembering = ClassificationWithMemory(
            *train, network=drawn, batch_size=batch_size, measured=MEASURED
        )
        measured = NormalizedImageClassification(name, steps, record_every, remembering, *test)
    else:
        problem = Classification(*train, network=drawn, batch_size=batch_size, measured=MEASURED)
        measured = ImageClassification(name, steps, record_every, problem, *test)
    minibatches = ImageMinibatches(images.directory, said.pixels, batch_size, processes)
    return StreamedTarget(name, steps, record_every, measured, minibatches, _on_device)


@dataclasses.dataclass(frozen=True)
class ImageMinibatches:
    """Minibatches of the training images in a folder, each a random part of an image.

    **Example**

    ```python
    images, labels = next(ImageMinibatches(directory, 224, 64).batches(seed=0, step=0))
    ```
    """

    directory: Path
    pixels: int
    batch_size: int
    processes: int = 0

    def batches(self, seed: int, step: int) -> Generator[Batch, None, None]:
        """Yield images as bytes, and labels; see `Minibatches`."""
        stream = open_stream(
            self.directory,
            "train",
            batch_size=self.batch_size,
            image_size=self.pixels,
            seed=seed,
            processes=self.processes,
        )
        with closing(stream.batches(stream.position(step))) as batches:
            for _, batch in batches:
                yield batch["images"], batch["labels"]


def _middles(images: EncodedSet, split: str, pixels: int) -> Batch:
    """Return images from all over a split as they are evaluated, and their labels."""
    source = images.images(split)
    # Not the first ones: ImageNet's training images lie class by class.
    places = np.linspace(0, len(source), min(MEASURED, len(source)), endpoint=False).astype(int)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        found = list(threads.map(EvaluationView(source, pixels), places.tolist()))
    seen = np.stack([one["images"] for one in found])
    return _on_device((seen, np.stack([one["labels"] for one in found])))


def _on_device(batch: Any) -> Batch:
    images, labels = batch
    return standardised(images), jnp.asarray(labels)
