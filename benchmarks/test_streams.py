"""How many photographs of 500x375 a second become a batch, against decoding them by hand.

The reference is the least that one core has to do: a loop that decodes and cuts out with Pillow,
one image after another, without batches, order or queue. The rows of pictures of 16x16 say what
Python alone takes for an image, which threads wait for each other to do.
"""

from collections.abc import Callable
from itertools import cycle

import jax
import numpy as np
import pytest

from benchmarks.paired import Reading, ratio, read
from benchmarks.photographs import TYPICAL, prepared
from lopt.datasets.streams import EncodedSet, open_stream, standardised
from lopt.datasets.streams.decoding import cut, open_image
from lopt.datasets.streams.recipes import DEVIATION, MEAN, random_box

ROUNDS, BATCH = 3, 64
FILLING, TAKEN = 10, 8
"""Batches that are taken until a stream is as fast as it stays, and those that are timed."""
TINY = (16, 16)
WAYS = {
    "threads 1": {"threads": 1},
    "threads 2": {"threads": 2},
    "processes 1": {"processes": 1},
    "processes 2": {"processes": 2},
}
ON_DEVICE = jax.jit(standardised)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Callable[[tuple[int, int]], EncodedSet]:
    root = tmp_path_factory.mktemp("datasets")
    # Grain's shuffling takes longer for a set of hundreds than for one of thousands.
    return lambda sides: prepared(root, 4096 if sides == TINY else 512, sides)


def by_hand(encoded: EncodedSet, size: int) -> Callable[[int], None]:
    """Return what decodes so many batches' images on one core and drops them."""
    images, random = encoded.images("train"), np.random.default_rng(0)
    places = cycle(range(len(images)))

    def work(batches: int) -> None:
        for _ in range(batches * BATCH):
            image = open_image(images[next(places)].content)
            cut(image, random_box(*image.size, random), size)

    return work


def taken(batch):
    return batch


def device_put(batch):
    return jax.block_until_ready(ON_DEVICE(jax.device_put(batch["images"])))


def device_put_floats(batch):
    levels = batch["images"].astype(np.float32) / 255
    pixels = (levels - np.asarray(MEAN, np.float32)) / np.asarray(DEVIATION, np.float32)
    return jax.block_until_ready(jax.device_put(pixels))


def per_cpu_second(readings: list[Reading]) -> str:
    """Return how many images a core decodes that has nothing else to do."""
    return f"{BATCH / np.median([reading.cpu for reading in readings]):.0f}"


CASES = [
    *((TYPICAL, size, way, taken) for size in (64, 224) for way in WAYS),
    *((TYPICAL, 224, "threads 2", put) for put in (device_put, device_put_floats)),
    (TYPICAL, 299, "threads 2", taken),
    *((TINY, 8, way, taken) for way in ("threads 1", "threads 2")),
]


@pytest.mark.parametrize(("sides", "size", "way", "use"), CASES)
def test_stream(sides, size, way, use, photographs, benchmark, benchmark_table):
    encoded = photographs(sides)
    stream = open_stream(encoded.directory, "train", batch_size=BATCH, image_size=size, **WAYS[way])
    reference = by_hand(encoded, size)
    readings: list[Reading] = []
    hand_readings: list[Reading] = []

    def work(batches) -> None:
        readings.append(read(lambda count: [use(next(batches)[1]) for _ in range(count)], TAKEN))

    # The stream is opened after the reference, so that it decodes nothing in the other's time.
    def setup():
        hand_readings.append(read(reference, 2))
        batches = stream.batches()
        for _ in range(FILLING):
            use(next(batches)[1])
        return (batches,), {}

    benchmark.pedantic(work, setup=setup, teardown=lambda batches: batches.close(), rounds=ROUNDS)
    walls = [reading.wall for reading in readings]
    benchmark_table(
        "stream",
        {
            "pictures": f"{sides[0]}x{sides[1]}",
            "to": size,
            "by": way,
            "and": use.__name__,
            "images/s": f"{BATCH / np.median(walls):.0f}",
            "by hand, images/s": f"{BATCH / np.median([r.wall for r in hand_readings]):.0f}",
            "x by hand": ratio([r.wall for r in hand_readings], walls),
            "images/CPU s": per_cpu_second(readings) if "threads" in way else "",
            "by hand, images/CPU s": per_cpu_second(hand_readings),
        },
    )
