"""Batches of decoded images, the same ones whoever decodes them and wherever one begins.

Order, threads, processes and the bounded queue are Grain's (https://google-grain.readthedocs.io);
which part of an image is seen is drawn from seed, epoch and image alone.
"""

import dataclasses
import os
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from jaxtyping import Int32, UInt8

from lopt.datasets.streams.encoded_set import open_encoded
from lopt.datasets.streams.position import BEGINNING, Position, position_of, step_of
from lopt.datasets.streams.source import EncodedImages
from lopt.datasets.streams.views import EvaluationView, TrainingView

READY = 2
"""Batches that wait decoded for whoever takes them, beside those that are being decoded."""


class LabelledBatch(TypedDict):
    """What a network takes at a step; a label of -1 is no image, but fills up an evaluation.

    **Example**

    ```python
    logits = network(standardised(batch["images"]))
    ```
    """

    images: UInt8[np.ndarray, "batch size size 3"]
    labels: Int32[np.ndarray, " batch"]


@dataclasses.dataclass(frozen=True)
class Stream:
    """A split in batches: a value that says which, while `batches` makes them.

    Training goes on for ever, each epoch in a new order and without its incomplete last batch.
    Evaluation sees each image once, in the order of the files, and fills up its last batch. With
    several hosts each gets its share of every batch, and all together get what one would get.

    **Example**

    ```python
    stream = open_stream(directory, "train", batch_size=256, image_size=224, seed=0)
    for position, batch in stream.batches():
        params = step(params, batch)
    ```
    """

    images: EncodedImages
    batch_size: int
    """Images of a batch, of all hosts together."""
    image_size: int
    """Height and width of what a network sees."""
    seed: int
    training: bool
    host: int
    hosts: int
    threads: int
    processes: int

    @property
    def batches_per_epoch(self) -> int:
        """How many batches an epoch has."""
        if self.training:
            return len(self.images) // self.batch_size
        return -(-len(self.images) // self.batch_size)

    def position(self, step: int) -> Position:
        """Return the position after `step` batches from the beginning."""
        return position_of(step, self.batches_per_epoch)

    def batches(
        self, start: Position = BEGINNING
    ) -> Generator[tuple[Position, LabelledBatch], None, None]:
        """Yield batches from `start` on, each with the position to go on from after it.

        Closing the iterator stops its threads and processes. Raises `ValueError` if there is no
        such position, and `DataSetError` for an image that cannot be decoded any more.
        """
        first = step_of(start, self.batches_per_epoch)
        order = self._trained(first) if self.training else self._evaluated(first)
        with closing(iter(self._prefetched(order))) as batches:
            for step, batch in enumerate(batches, start=first + 1):
                yield self.position(step), batch

    def _trained(self, first: int) -> Any:
        import grain

        # Grain adds the epoch to a seed: hashed, two seeds do not see one order an epoch apart.
        view, order = map(int, np.random.SeedSequence(self.seed).generate_state(2))
        whole = self.batches_per_epoch * self.batch_size
        images = grain.MapDataset.source(self.images)
        images = images.random_map(TrainingView(self.images, self.image_size), seed=view)
        images = images.shuffle(seed=order).slice(slice(0, whole))
        return self._share(images).repeat().slice(slice(first, None))

    def _evaluated(self, first: int) -> Any:
        import grain

        filled = grain.MapDataset.range(self.batches_per_epoch * self.batch_size)
        images = filled.map(EvaluationView(self.images, self.image_size))
        return self._share(images).slice(slice(first, None))

    def _share(self, images: Any) -> Any:
        images = images.slice(slice(self.host, None, self.hosts))
        return images.batch(self.batch_size // self.hosts, drop_remainder=True)

    def _prefetched(self, batches: Any) -> Any:
        import grain

        if not self.processes:
            options = grain.ReadOptions(self.threads, self.threads + READY)
            return batches.to_iter_dataset(options)
        _parse_no_flags()
        options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
        return batches.to_iter_dataset(options).mp_prefetch(
            grain.MultiprocessingOptions(self.processes, per_worker_buffer_size=READY)
        )


def open_stream(
    directory: Path,
    split: str,
    *,
    batch_size: int,
    image_size: int,
    seed: int = 0,
    training: bool = True,
    host: int = 0,
    hosts: int = 1,
    threads: int | None = None,
    processes: int = 0,
) -> Stream:
    """Open one split of the prepared set in `directory` as a stream of batches.

    `batch_size` counts the images of all `hosts` together, of which this one is `host`. Images
    are decoded by `threads`, one for each core by default, or by so many `processes` instead,
    which is of use where Python's lock is what threads wait for; the batches are the same.

    Raises `DataSetError` for what is not prepared or damaged, and `ValueError` for numbers that
    do not fit.

    **Example**

    ```python
    stream = open_stream(directory, "train", batch_size=256, image_size=224, seed=0)
    ```
    """
    images = open_encoded(directory).images(split)
    stream = Stream(
        images=images,
        batch_size=batch_size,
        image_size=image_size,
        seed=seed,
        training=training,
        host=host,
        hosts=hosts,
        threads=threads or len(os.sched_getaffinity(0)),
        processes=processes,
    )
    _require_fit(stream)
    return stream


def _require_fit(stream: Stream) -> None:
    for name in ("batch_size", "image_size", "hosts", "threads"):
        if (value := getattr(stream, name)) < 1:
            raise ValueError(f"{name} must be at least 1, but is {value}.")
    for name in ("seed", "processes"):
        if (value := getattr(stream, name)) < 0:
            raise ValueError(f"{name} must be at least 0, but is {value}.")
    if not 0 <= stream.host < stream.hosts:
        raise ValueError(f"host must be from 0 to {stream.hosts - 1}, but is {stream.host}.")
    if stream.batch_size % stream.hosts:
        raise ValueError(
            f"batch_size must be a multiple of the {stream.hosts} hosts, but is "
            f"{stream.batch_size}."
        )
    if not stream.batches_per_epoch:
        raise ValueError(
            f"batch_size is {stream.batch_size}, but the split has only {len(stream.images)} "
            "images: an epoch of training would be empty."
        )


def _parse_no_flags() -> None:
    """Let Grain ask for its absl flags, which only programs that are absl's own have parsed."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
