"""Streams: the same batches from any position, in any number of threads, on any number of hosts."""

import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lopt.datasets import DataSetError
from lopt.datasets.streams import EncodedSet, LabelledBatch, Position, Stream, open_stream
from lopt.datasets.streams.examples import Example, Part
from lopt.datasets.streams.position import BEGINNING
from lopt.datasets.streams.preparation import prepare_source
from lopt.datasets.streams.source import EncodedImages
from lopt.datasets.streams.sources import ImageSource
from lopt.datasets.streams.stream import READY
from tests.lopt.datasets.streams.pictures import COUNT, slope

BATCH, SIZE = 4, 16
PER_EPOCH = COUNT // BATCH


def opened(pictures: EncodedSet, **changes: Any) -> Stream:
    arguments = {"split": "train", "batch_size": BATCH, "image_size": SIZE, "threads": 2}
    return open_stream(pictures.directory, **arguments | changes)


def some(
    stream: Stream, count: int, start: Position = BEGINNING
) -> list[tuple[Position, LabelledBatch]]:
    batches = stream.batches(start)
    found = list(islice(batches, count))
    batches.close()
    return found


def labels(stream: Stream, count: int) -> np.ndarray:
    return np.stack([batch["labels"] for _, batch in some(stream, count)])


def same(
    some_batches: list[tuple[Position, LabelledBatch]],
    others: list[tuple[Position, LabelledBatch]],
) -> bool:
    return all(
        position == other_position
        and np.array_equal(batch["images"], other["images"])
        and np.array_equal(batch["labels"], other["labels"])
        for (position, batch), (other_position, other) in zip(some_batches, others, strict=True)
    )


@pytest.mark.parametrize("stop", [1, PER_EPOCH, PER_EPOCH + 2])
def test_going_on_from_a_position_equals_never_stopping(pictures: EncodedSet, stop: int) -> None:
    whole = some(opened(pictures), 2 * PER_EPOCH + 1)
    position, _ = whole[stop - 1]
    assert position == opened(pictures).position(stop)
    assert same(whole[stop:], some(opened(pictures), len(whole) - stop, position))


def test_the_number_of_threads_changes_no_batch(pictures: EncodedSet) -> None:
    one, five = (some(opened(pictures, threads=threads), 8) for threads in (1, 5))
    assert same(one, five)


@pytest.mark.slow
def test_processes_instead_of_threads_change_no_batch(pictures: EncodedSet) -> None:
    start = Position(1, 2)
    threads = some(opened(pictures), 8, start)
    assert same(threads, some(opened(pictures, processes=2), 8, start))


@pytest.mark.parametrize("training", [True, False])
def test_hosts_together_get_what_one_would_get(pictures: EncodedSet, training: bool) -> None:
    arguments = {"training": training, "split": "train"}
    whole = some(opened(pictures, **arguments), 6)
    shares = [some(opened(pictures, **arguments, host=host, hosts=2), 6) for host in (0, 1)]
    for (position, batch), *parts in zip(whole, *shares, strict=True):
        assert [part_position for part_position, _ in parts] == [position] * 2
        for name in ("images", "labels"):
            together = np.stack([part[name] for _, part in parts], axis=1)  # type: ignore[literal-required]
            assert np.array_equal(together.reshape(batch[name].shape), batch[name])  # type: ignore[literal-required]


def test_an_epoch_has_no_image_twice_and_leaves_out_less_than_a_batch(
    pictures: EncodedSet,
) -> None:
    epochs = labels(opened(pictures), 3 * PER_EPOCH).reshape(3, -1)
    assert epochs.shape == (3, 20)
    for epoch in epochs:
        assert len(set(epoch)) == 20
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert len(set(epochs.ravel())) > 20


def test_no_seed_sees_the_order_of_another_an_epoch_later(pictures: EncodedSet) -> None:
    orders = [
        tuple(epoch)
        for seed in (0, 1)
        for epoch in labels(opened(pictures, seed=seed, image_size=1), 3 * PER_EPOCH).reshape(3, -1)
    ]
    assert len(set(orders)) == 6


def test_an_image_is_cut_out_differently_in_each_epoch_and_the_same_at_each_call(
    tmp_path: Path,
) -> None:
    part = Part("train", lambda: iter([Example("slope", slope(200, 150), label=0)]))
    source = ImageSource("slope", "1.0.0", 1, {"train": 1}, parts=lambda files: [part])
    stream = opened(prepare_source(source, tmp_path, Path()), batch_size=1)
    views = [batch["images"].tobytes() for _, batch in some(stream, 6)]
    assert len(set(views)) == 6
    assert views == [batch["images"].tobytes() for _, batch in some(stream, 6)]


def test_evaluation_sees_each_image_once_in_order_and_fills_up_the_last_batch(
    pictures: EncodedSet,
) -> None:
    stream = opened(pictures, training=False)
    found = list(stream.batches())
    assert [position for position, _ in found][-2:] == [Position(0, 5), Position(1, 0)]
    every = np.concatenate([batch["labels"] for _, batch in found])
    assert every.tolist() == [*range(COUNT), -1]
    assert found[-1][1]["images"][-1].max() == 0
    assert [position for position, _ in stream.batches(Position(0, 5))] == [Position(1, 0)]


def test_every_format_becomes_red_green_and_blue_of_its_colour(pictures: EncodedSet) -> None:
    for _, batch in opened(pictures, training=False).batches():
        assert batch["images"].dtype == np.uint8
        assert batch["labels"].dtype == np.int32
        assert batch["images"].shape == (BATCH, SIZE, SIZE, 3)
        real = batch["labels"] >= 0
        levels = batch["images"][real].astype(int)
        assert np.abs(levels - 10 * batch["labels"][real, None, None, None]).max() <= 3


def test_no_more_is_decoded_ahead_than_waits(
    pictures: EncodedSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: Counter[int] = Counter()
    read = EncodedImages.__getitem__

    def counted(images: EncodedImages, index: int) -> Any:
        seen[index] += 1
        return read(images, index)

    monkeypatch.setattr(EncodedImages, "__getitem__", counted)
    batches = opened(pictures).batches()
    next(batches)
    before = -1
    while before != (before := seen.total()):
        time.sleep(0.1)
    batches.close()
    assert BATCH < seen.total() <= (1 + 2 + READY) * BATCH


def prefetching() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "grain" in thread.name]


@pytest.fixture
def no_threads_before() -> Iterator[None]:
    wait_until_none()
    yield
    wait_until_none()


def wait_until_none() -> None:
    end = time.monotonic() + 10
    while prefetching():
        assert time.monotonic() < end, prefetching()
        time.sleep(0.01)


@pytest.mark.usefixtures("no_threads_before")
def test_closing_ends_the_threads(pictures: EncodedSet) -> None:
    batches = opened(pictures).batches()
    next(batches)
    assert prefetching()
    batches.close()


def test_an_image_that_was_damaged_later_is_named(pictures: EncodedSet, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(pictures.directory, tmp_path / "copy"))
    path = directory / "test-00000.arrow"
    path.write_bytes(path.read_bytes().replace(b"\xff\xd8\xff", b"\x00\x00\x00"))
    stream = open_stream(
        directory, "test", batch_size=5, image_size=SIZE, training=False, threads=1
    )
    with pytest.raises(DataSetError, match=r"The image 0\.img of test cannot be decoded \(Unid"):
        list(stream.batches())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, but is 0"),
        ({"batch_size": 24}, "the split has only 23 images"),
        ({"batch_size": 6, "hosts": 4}, "a multiple of the 4 hosts, but is 6"),
        ({"host": 2, "hosts": 2}, "host must be from 0 to 1, but is 2"),
        ({"image_size": -1}, "image_size must be at least 1, but is -1"),
        ({"seed": -1}, "seed must be at least 0, but is -1"),
        ({"processes": -1}, "processes must be at least 0, but is -1"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(
    pictures: EncodedSet, changes: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        opened(pictures, **changes)


@pytest.mark.parametrize("position", [Position(-1, 0), Position(0, PER_EPOCH), Position(0, -1)])
def test_a_position_that_no_epoch_has_is_refused(pictures: EncodedSet, position: Position) -> None:
    with pytest.raises(ValueError, match="another batch size"):
        next(opened(pictures).batches(position))


def test_an_unknown_split_is_refused_naming_those_there_are(pictures: EncodedSet) -> None:
    with pytest.raises(DataSetError, match="no split 'validation'; there are: train, test"):
        opened(pictures, split="validation")
