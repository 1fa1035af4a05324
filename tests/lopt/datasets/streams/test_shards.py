"""Shards: read as written, by any index, in another process too."""

import pickle
from pathlib import Path

import pyarrow as pa
import pytest

from lopt.datasets import DataSetError
from lopt.datasets.streams.encoded_manifest import ShardEntry
from lopt.datasets.streams.examples import Example
from lopt.datasets.streams.shards import ROWS, Shard, write_shard
from lopt.datasets.streams.source import EncodedImages


def made_up(count: int, first: int = 0) -> list[Example]:
    return [
        Example(f"{number}", number.to_bytes(2, "little") * (number % 5), label=number % 7)
        for number in range(first, first + count)
    ]


def written(path: Path, examples: list[Example]) -> ShardEntry:
    batches = [examples[first : first + ROWS] for first in range(0, len(examples), ROWS)]
    count, content = write_shard(path, batches, {"name": "made up"})
    return ShardEntry(path.name, count, content, path.stat().st_size, "")


@pytest.mark.parametrize("count", [1, ROWS, ROWS + 1, 2 * ROWS + 3])
def test_examples_are_read_as_they_were_written(tmp_path: Path, count: int) -> None:
    examples = made_up(count)
    entry = written(tmp_path / "a.arrow", examples)
    shard = Shard(tmp_path / "a.arrow")
    assert entry.count == len(shard) == count
    assert [shard.example(row) for row in range(count)] == examples


@pytest.mark.parametrize("change", ["label", "content", "order", "cut"])
def test_the_digest_is_that_of_the_content(tmp_path: Path, change: str) -> None:
    examples = made_up(9)
    changed = {
        "label": [examples[0]._replace(label=6), *examples[1:]],
        "content": [*examples[:8], examples[8]._replace(content=b"x")],
        "order": examples[::-1],
        # The same bytes, divided among the images otherwise.
        "cut": [examples[0], examples[1]._replace(content=b""), *examples[2:]],
    }[change]
    renamed = [example._replace(name="other") for example in examples]
    digests = [
        written(tmp_path / "a.arrow", variant).content for variant in (examples, renamed, changed)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_a_split_is_its_shards_one_after_another_here_and_in_another_process(
    tmp_path: Path,
) -> None:
    sizes = (5, 1, ROWS + 2)
    entries = tuple(
        written(tmp_path / f"{place}.arrow", made_up(size, first=1_000 * place))
        for place, size in enumerate(sizes)
    )
    images = EncodedImages(tmp_path, "train", entries)
    expected = [
        example for place, size in enumerate(sizes) for example in made_up(size, 1_000 * place)
    ]
    assert len(images) == len(expected)
    for one in (images, pickle.loads(pickle.dumps(images))):  # noqa: S301 as multiprocessing does
        assert [one[index] for index in range(len(one))] == expected
        for outside in (-1, len(expected)):
            with pytest.raises(IndexError, match=f"no image {outside} among"):
                one[outside]


def test_no_image_travels_to_another_process(tmp_path: Path) -> None:
    examples = [Example("large", b"x" * 1_000_000, label=0)]
    images = EncodedImages(tmp_path, "train", (written(tmp_path / "a.arrow", examples),))
    assert len(pickle.dumps(images)) < 1_000


def test_mapping_a_shard_reads_no_image(tmp_path: Path) -> None:
    written(tmp_path / "a.arrow", [Example("large", b"x" * 1_000_000, label=0)])
    before = pa.total_allocated_bytes()
    shard = Shard(tmp_path / "a.arrow")
    assert len(shard) == 1
    assert pa.total_allocated_bytes() - before < 10_000


def test_another_number_of_images_than_the_manifest_says_is_refused(tmp_path: Path) -> None:
    entry = written(tmp_path / "a.arrow", made_up(3))
    wrong = ShardEntry(entry.file, 4, entry.content, entry.bytes, "")
    with pytest.raises(DataSetError, match="holds 3 images, but the manifest says 4"):
        EncodedImages(tmp_path, "train", (wrong,))


def test_what_is_no_arrow_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.arrow").write_bytes(b"something else")
    with pytest.raises(DataSetError, match=r"a\.arrow is no Arrow IPC file"):
        Shard(tmp_path / "a.arrow")
