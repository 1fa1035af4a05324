"""Preparing: once, all or nothing, whoever is killed or comes at the same time."""

from pathlib import Path

import pytest

from lopt.datasets import DataSet, DataSetError, dataset_directory, prepare
from tests.lopt.datasets.processes import start_preparing, wait_for

EVERYTHING = ["manifest.json", "test.arrow", "train.arrow"]


def times(root: Path) -> dict[Path, int]:
    """When each file and folder under `root` was changed last."""
    return {path: path.stat().st_mtime_ns for path in [root, *root.rglob("*")]}


def test_preparing_twice_does_nothing_the_second_time(digits: DataSet) -> None:
    root = digits.directory.parents[1]
    before = times(root)
    calls: list[tuple[int, int]] = []
    again = prepare("digits", root, progress=lambda done, total: calls.append((done, total)))
    assert again == digits
    assert times(root) == before
    assert calls == []


def test_a_prepared_folder_is_named_by_its_content(digits: DataSet) -> None:
    assert digits.directory.name == f"{digits.version}-{digits.digest[:12]}"
    assert sorted(path.name for path in digits.directory.iterdir()) == EVERYTHING


def test_preparing_elsewhere_gives_the_same_content_and_tells_how_far_it_is(
    digits: DataSet, tmp_path: Path
) -> None:
    calls: list[tuple[int, int]] = []
    root = tmp_path / "not" / "there" / "yet"
    other = prepare("digits", root, progress=lambda done, total: calls.append((done, total)))
    assert other.digest == digits.digest
    assert other.directory.relative_to(root) == digits.directory.relative_to(
        digits.directory.parents[1]
    )
    assert calls == sorted(set(calls))
    assert calls[-1] == (3594, 3594)


def test_a_killed_preparation_leaves_nothing_that_looks_finished(
    digits: DataSet, tmp_path: Path
) -> None:
    root = tmp_path / "datasets"
    # First while TFDS prepares, then with the first of two Arrow files written.
    for stop_at in (500, 3594):
        process = start_preparing("digits", root, tmp_path / "fake", stop_at)
        wait_for(process, f"progress {stop_at} ")
        process.kill()
        process.communicate()
        assert [path.name for path in root.glob("*/.preparing-*/*")]
        with pytest.raises(DataSetError, match="digits is not prepared"):
            dataset_directory("digits", root)
    finished = prepare("digits", root)
    assert finished.digest == digits.digest
    assert list(root.glob("*/.preparing-*")) == []


def test_what_was_left_behind_beside_a_prepared_data_set_is_removed(
    digits: DataSet, tmp_path: Path
) -> None:
    leftover = digits.directory.parent / ".preparing-killed" / "tfds"
    leftover.mkdir(parents=True)
    before = times(digits.directory)
    assert prepare("digits", digits.directory.parents[1]) == digits
    assert not leftover.parent.exists()
    assert times(digits.directory) == before


def test_two_at_once_prepare_it_once_and_without_tensorflow(
    digits: DataSet, tmp_path: Path
) -> None:
    both = [start_preparing("digits", tmp_path, tmp_path / "fake") for _ in range(2)]
    outputs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    expected = tmp_path / "digits" / digits.directory.name
    assert all(f"prepared {expected}\n" in output for output in outputs)
    assert sorted("progress" in output for output in outputs) == [False, True]
    (worker,) = (output for output in outputs if "progress" in output)
    assert "imported by lopt.datasets:\n" in worker
    assert "imported by preparing: tensorflow_datasets pyarrow sklearn PIL\n" in worker


def test_an_interrupted_preparation_cleans_up_after_itself(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare("digits", tmp_path, progress=interrupt)
    assert [path.name for path in (tmp_path / "digits").iterdir()] == [".lock"]


def test_a_damaged_data_set_is_not_prepared_over(digits: DataSet, copied_digits: Path) -> None:
    root = copied_digits.parent / "root"
    damaged = root / "digits" / copied_digits.name
    damaged.parent.mkdir(parents=True)
    copied_digits.rename(damaged)
    (damaged / "test.arrow").write_bytes(b"")
    with pytest.raises(DataSetError, match="Remove the folder"):
        prepare("digits", root)
    assert (damaged / "test.arrow").read_bytes() == b""


def test_two_contents_of_one_version_are_not_chosen_from(tmp_path: Path) -> None:
    for digest in ("aaa", "bbb"):
        (tmp_path / "digits" / f"1.0.0-{digest}").mkdir(parents=True)
    with pytest.raises(DataSetError, match=r"different contents: 1\.0\.0-aaa, 1\.0\.0-bbb"):
        prepare("digits", tmp_path)


def test_an_unknown_name_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    message = "Unknown data set 'digit'; known: digits, mnist, fashion_mnist, cifar10"
    with pytest.raises(DataSetError, match=message):
        prepare("digit", tmp_path)
    assert list(tmp_path.iterdir()) == []
