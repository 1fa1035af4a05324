"""Reading a prepared data set: from its memory map, without a copy."""

import multiprocessing
from pathlib import Path

import jax
import numpy as np
import pyarrow as pa
import pytest

from lopt.datasets import DataSet, DataSetError, Split, dataset_directory, open_dataset
from lopt.datasets.arrow_files import arrow_schema, map_arrow, write_arrow
from lopt.datasets.manifest import Schema


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def mapped_ranges(path: Path) -> list[range]:
    """The addresses at which this process has mapped the file."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    spans = [line.split()[0].split("-") for line in lines if line.endswith(str(path))]
    return [range(int(first, 16), int(last, 16)) for first, last in spans]


@pytest.mark.parametrize("name", ["train", "test"])
def test_images_and_labels_lie_in_the_mapped_file_itself(digits: DataSet, name: str) -> None:
    split = digits.split(name)
    ranges = mapped_ranges(digits.directory / f"{name}.arrow")
    for array in (split.images, split.labels):
        first = address(array)
        assert any(first in span and first + array.nbytes - 1 in span for span in ranges)


@pytest.mark.parametrize("name", ["train", "test"])
def test_jax_on_a_cpu_takes_images_and_labels_from_the_mapped_file(
    digits: DataSet, name: str
) -> None:
    split = digits.split(name)
    for array in (split.images, split.labels):
        taken = jax.device_put(array, jax.devices("cpu")[0])
        assert taken.unsafe_buffer_pointer() == address(array)


@pytest.mark.parametrize("name", ["", "a", "a name of another length"])
@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (3, 5, 1)])
@pytest.mark.parametrize("count", [1, 64, 333])
def test_images_of_any_number_and_shape_are_aligned_and_read_as_written(
    count: int, shape: tuple[int, int, int], name: str, tmp_path: Path
) -> None:
    random = np.random.default_rng(count)
    images = random.integers(0, 256, (count, *shape), np.uint8)
    labels = random.integers(0, 10, count, np.int32)
    schema = arrow_schema(Schema(shape, classes=10), {"name": name})
    write_arrow(tmp_path / "train.arrow", images, labels, schema)
    mapped = map_arrow(tmp_path / "train.arrow", schema)
    assert address(mapped[0]) % 64 == 0
    assert images.nbytes % 64 or address(mapped[1]) % 64 == 0
    np.testing.assert_array_equal(mapped[0], images)
    np.testing.assert_array_equal(mapped[1], labels)


def test_files_that_were_written_before_columns_were_aligned_are_still_read(
    digits: DataSet, tmp_path: Path
) -> None:
    split = digits.split("train")
    with pa.memory_map(str(digits.directory / "train.arrow")) as source:
        reader = pa.ipc.open_file(source)
        schema, batch = reader.schema, reader.get_batch(0)
    with pa.OSFile(str(tmp_path / "old.arrow"), "wb") as sink, pa.ipc.new_file(sink, schema) as to:
        to.write_batch(batch)
    images, labels = map_arrow(tmp_path / "old.arrow", schema)
    np.testing.assert_array_equal(images, split.images)
    np.testing.assert_array_equal(labels, split.labels)


def test_mapping_a_split_allocates_nothing(digits: DataSet) -> None:
    before = pa.total_allocated_bytes()
    split = digits.split("train")
    assert split.images.sum() > 0
    assert pa.total_allocated_bytes() - before < split.images.nbytes / 10


def test_views_outlive_their_data_set_and_cannot_be_written_to(digits: DataSet) -> None:
    images = open_dataset(digits.directory).split("train").images
    assert images.max() == 255
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_a_split_is_as_long_as_counted(digits: DataSet) -> None:
    for name, count in digits.counts.items():
        split = digits.split(name)
        assert isinstance(split, Split)
        assert len(split) == len(split.images) == len(split.labels) == count
        assert split.labels.dtype == np.int32


def test_an_unknown_split_is_refused_naming_those_there_are(digits: DataSet) -> None:
    with pytest.raises(DataSetError, match="no split 'validation'; there are: train, test"):
        digits.split("validation")


def test_a_data_set_is_a_value_that_other_processes_can_be_handed(digits: DataSet) -> None:
    here, there = multiprocessing.Pipe()
    here.send(digits)
    copy = there.recv()
    assert copy == digits == open_dataset(digits.directory)
    assert hash(copy) == hash(digits)


def test_a_prepared_data_set_is_found_by_its_name(digits: DataSet) -> None:
    assert dataset_directory("digits", digits.directory.parents[1]) == digits.directory


def test_a_data_set_that_is_not_prepared_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="mnist is not prepared under"):
        dataset_directory("mnist", tmp_path)


def test_the_file_tells_any_reader_of_arrow_what_it_holds(digits: DataSet) -> None:
    with pa.memory_map(str(digits.directory / "train.arrow")) as source:
        schema = pa.ipc.open_file(source).schema
    assert schema.field("image").type == pa.fixed_shape_tensor(pa.uint8(), (8, 8, 1))
    assert schema.field("label").type == pa.int32()
    facts = {b"name": b"digits", b"version": b"1.0.0", b"split": b"train", b"classes": b"10"}
    assert schema.metadata == facts
