"""Preparing encoded images: once, whole, going on where it was, and damaged ones by their names."""

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lopt.datasets import DataSetError, NotPreparedError
from lopt.datasets.streams import EncodedSet, images_directory, open_encoded, prepare_images
from lopt.datasets.streams.encoded_set import check_content
from lopt.datasets.streams.examples import Example, Part
from lopt.datasets.streams.preparation import prepare_source
from lopt.datasets.streams.sources import IMAGE_SOURCES, ImageSource
from tests.lopt.datasets.streams.pictures import PICTURES, parts_of, picture


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def with_parts(parts: list[Part], **changes: object) -> ImageSource:
    return dataclasses.replace(PICTURES, parts=lambda files: parts, **changes)


class Interrupted(BaseException):
    """As Ctrl-C."""


def interrupted(part: Part) -> Part:
    """The part, but reading it ends after two examples."""

    def read() -> Iterator[Example]:
        for place, example in enumerate(part.read()):
            if place == 2:
                raise Interrupted
            yield example

    return Part(part.split, read)


def test_preparing_twice_does_nothing_the_second_time(pictures: EncodedSet) -> None:
    unreadable = with_parts([])
    assert prepare_source(unreadable, pictures.directory.parents[1], Path()) == pictures


def test_there_is_a_file_for_each_part_and_nothing_else(pictures: EncodedSet) -> None:
    assert names(pictures.directory) == [
        "manifest.json",
        "test-00000.arrow",
        *(f"train-0000{part}.arrow" for part in range(3)),
    ]
    assert pictures.directory.name == f"1.0.0-{pictures.digest[:12]}"
    assert names(pictures.directory.parent) == [".lock", pictures.directory.name]
    assert pictures.counts == {"train": 23, "test": 5}


def test_an_interrupted_preparation_goes_on_where_it_was_and_ends_the_same(
    pictures: EncodedSet, tmp_path: Path
) -> None:
    first, second, *others = parts_of(Path())
    with pytest.raises(Interrupted):
        prepare_source(with_parts([first, interrupted(second), *others]), tmp_path, Path())
    with pytest.raises(NotPreparedError):
        images_directory_of(tmp_path)
    unreadable = Part(first.split, lambda: iter(()))
    finished = prepare_source(with_parts([unreadable, second, *others]), tmp_path, Path())
    assert finished.manifest == pictures.manifest
    assert names(tmp_path / "pictures") == [".lock", finished.directory.name]


def images_directory_of(root: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(IMAGE_SOURCES, "pictures", PICTURES)  # type: ignore[arg-type]
        return images_directory("pictures", root)


def test_a_prepared_set_is_found_by_its_name(pictures: EncodedSet) -> None:
    assert images_directory_of(pictures.directory.parents[1]) == pictures.directory


def test_what_was_begun_from_other_files_is_begun_anew(
    pictures: EncodedSet, tmp_path: Path
) -> None:
    archive = tmp_path / "published.tar"
    first, second, *others = parts_of(Path())
    archive.write_bytes(b"the wrong one")
    source = with_parts([first, interrupted(second), *others], files=(archive.name,))
    with pytest.raises(Interrupted):
        prepare_source(source, tmp_path, tmp_path)
    archive.write_bytes(b"the right one, of another length")
    other = Part("train", lambda: (example._replace(label=0) for example in first.read()))
    source = with_parts([other, second, *others], files=(archive.name,))
    finished = prepare_source(source, tmp_path, tmp_path)
    assert [finished.images("train")[index].label for index in (9, 10)] == [0, 10]
    assert names(tmp_path / "pictures") == [".lock", finished.directory.name]


def damaged_parts() -> list[Part]:
    first, *others = parts_of(Path())

    def read() -> Iterator[Example]:
        for example in first.read():
            broken = example.name in ("3.img", "7.img")
            yield example._replace(content=example.content[:40]) if broken else example

    return [Part("train", read), *others]


def test_damaged_images_are_refused_all_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"decoded: 3\.img \(.*\), 7\.img \(.*leave_out"):
        prepare_source(with_parts(damaged_parts()), tmp_path, Path())


def test_damaged_images_are_left_out_by_name_if_that_is_wanted(tmp_path: Path) -> None:
    source = with_parts(damaged_parts())
    prepared = prepare_source(source, tmp_path, Path(), damaged_images="leave_out")
    assert prepared.left_out == ("3.img", "7.img")
    assert prepared.counts == {"train": 21, "test": 5}
    images = prepared.images("train")
    assert [images[index].label for index in range(8)] == [0, 1, 2, 4, 5, 6, 8, 9]
    assert open_encoded(prepared.directory) == prepared


def test_images_that_are_missing_are_missed(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="has 23 images in the split train, but 20 were found"):
        prepare_source(with_parts([*parts_of(Path())[:2], parts_of(Path())[3]]), tmp_path, Path())


def test_a_file_that_has_to_be_fetched_is_named_before_anything_is_made(tmp_path: Path) -> None:
    message = (
        r"lacks ILSVRC2012_img_train\.tar and ILSVRC2012_img_val\.tar\. They are to be had, with "
        "an account, from https://image-net.org/download-images"
    )
    with pytest.raises(DataSetError, match=message):
        prepare_images("imagenet2012", tmp_path / "root", tmp_path)
    assert names(tmp_path) == []


def test_an_unknown_name_is_refused_naming_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="'imagenet'; known: encoded_digits, imagenet2012, "):
        prepare_images("imagenet", tmp_path, tmp_path)


def test_progress_is_told_now_and_then(tmp_path: Path) -> None:
    part = Part("train", lambda: (Example(f"{place}", b"rgb", 0) for place in range(1_100)))
    source = ImageSource(
        "dots", "1.0.0", 1, {"train": 1_100, "test": 0}, parts=lambda files: [part], sides=(1, 1)
    )
    calls: list[tuple[int, int]] = []
    prepare_source(
        source, tmp_path, Path(), progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(512, 1_100), (1_024, 1_100)]


@pytest.mark.parametrize("change", ["missing", "shorter", "other"])
def test_a_file_that_has_changed_is_named(
    pictures: EncodedSet, tmp_path: Path, change: str
) -> None:
    directory = Path(shutil.copytree(pictures.directory, tmp_path / "copy"))
    path = directory / "train-00001.arrow"
    content = path.read_bytes()
    if change == "missing":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if change == "shorter" else content[:-1] + b"x")
    with pytest.raises(DataSetError, match=rf"train-00001\.arrow .*{directory}"):
        check_content(open_encoded(directory))


def test_what_is_whole_passes_the_check(pictures: EncodedSet) -> None:
    check_content(pictures)


def test_a_set_of_arrays_is_no_set_of_encoded_images(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"format": 1}')
    with pytest.raises(DataSetError, match="format 1 is unknown, only 2 can be read"):
        open_encoded(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"classes": 23', '"classes": "23"', "classes is '23', but must be of type int"),
        ('"sides": null', '"sides": [1]', "sides is [1], but must be null or two whole numbers"),
        ('"count": 3', '"count": 4', "but of this it is"),
        ('"left_out"', '"left_in"', "splits.train.0 lacks the key 'left_out'"),
    ],
)
def test_a_manifest_that_was_changed_is_refused(
    pictures: EncodedSet, tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = (pictures.directory / "manifest.json").read_text()
    assert old in text
    (tmp_path / "manifest.json").write_text(text.replace(old, new))
    with pytest.raises(DataSetError) as error:
        open_encoded(tmp_path)
    assert message in str(error.value)


def test_pictures_are_what_they_are_said_to_be() -> None:
    assert len({picture(number) for number in range(23)}) == 23
