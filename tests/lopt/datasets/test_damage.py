"""Whatever has happened to a prepared data set, it is refused, and by name."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lopt.datasets import DataSet, DataSetError, open_dataset

FILES = ("manifest.json", "test.arrow", "train.arrow")
SAME_FOLDER = settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def all_keys(record: dict[str, Any]) -> list[tuple[str, ...]]:
    """The paths of all keys, at all depths."""
    paths = []
    for key, value in record.items():
        paths.append((key,))
        if isinstance(value, dict):
            paths.extend((key, *path) for path in all_keys(value))
    return paths


@SAME_FOLDER
@given(data=st.data())
def test_a_flipped_bit_anywhere_is_refused(copied_digits: Path, data: st.DataObject) -> None:
    path = copied_digits / data.draw(st.sampled_from(FILES))
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    harmed = bytearray(whole)
    harmed[place] ^= 1 << data.draw(st.integers(0, 7))
    # Between the values of JSON one blank is as good as another.
    blank = path.suffix == ".json" and chr(whole[place]).isspace() and chr(harmed[place]).isspace()
    path.write_bytes(harmed)
    try:
        if not blank:
            # A manifest that was changed may accuse a file of not being as it says.
            with pytest.raises(DataSetError, match=path.stem):
                open_dataset(copied_digits)
    finally:
        path.write_bytes(whole)


@SAME_FOLDER
@given(data=st.data())
def test_a_truncated_file_is_refused(copied_digits: Path, data: st.DataObject) -> None:
    path = copied_digits / data.draw(st.sampled_from(FILES))
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 2))])
    try:
        with pytest.raises(DataSetError, match=path.name):
            open_dataset(copied_digits)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(copied_digits: Path, name: str) -> None:
    (copied_digits / name).unlink()
    with pytest.raises(DataSetError, match=name):
        open_dataset(copied_digits)


def test_every_missing_key_is_refused_by_name(digits: DataSet, copied_digits: Path) -> None:
    manifest = copied_digits / "manifest.json"
    paths = all_keys(json.loads(manifest.read_text()))
    assert ("splits", "train", "sha256") in paths
    for *parents, key in paths:
        record = json.loads((digits.directory / "manifest.json").read_text())
        inner = record
        for parent in parents:
            inner = inner[parent]
        del inner[key]
        manifest.write_text(json.dumps(record))
        with pytest.raises(DataSetError, match=f"lacks the key '{key}'"):
            open_dataset(copied_digits)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2 is unknown"),
        ({"surplus": 1}, "unknown key 'surplus'"),
        ({"version": 1}, "version is 1, but must be of type str"),
        ({"version": "1.0.1"}, "the digest is"),
        ({"splits": []}, r"splits is \[\], but must be of type dict"),
    ],
)
def test_a_changed_manifest_is_refused_saying_how(
    copied_digits: Path, change: dict[str, Any], message: str
) -> None:
    manifest = copied_digits / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | change))
    with pytest.raises(DataSetError, match=message):
        open_dataset(copied_digits)


def test_an_arrow_file_put_in_place_of_another_is_refused_when_read(copied_digits: Path) -> None:
    opened = open_dataset(copied_digits)
    (copied_digits / "test.arrow").replace(copied_digits / "train.arrow")
    with pytest.raises(DataSetError, match=r"train\.arrow"):
        opened.split("train")


def test_a_folder_without_manifest_is_no_data_set(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(DataSetError, match="is no prepared data set"):
            open_dataset(directory)
