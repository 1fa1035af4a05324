"""Preparing encoded images: file by file, going on where a killed process was, and then at once.

Each part of a split becomes one file; a record in another folder says that it is whole, and then it
is not made again. Only when all parts are there does their folder get its name.
"""

import contextlib
import hashlib
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lopt.datasets.errors import DataSetError, NotPreparedError
from lopt.datasets.folders import alone_in, publish
from lopt.datasets.manifest import SPLITS
from lopt.datasets.preparation import DIGEST_CHARACTERS, Progress, counter, find_prepared
from lopt.datasets.streams.encoded_manifest import (
    FORMAT,
    EncodedManifest,
    ShardEntry,
    write_encoded_manifest,
)
from lopt.datasets.streams.encoded_set import EncodedSet, open_encoded
from lopt.datasets.streams.part_files import Damaged, make_part
from lopt.datasets.streams.sources import ImageSource, find_image_source, missing_files

PARTS, RECORDS = ".parts-", ".records-"


def prepare_images(
    name: str,
    root: Path,
    files: Path,
    *,
    damaged_images: Damaged = "refuse",
    progress: Progress | None = None,
) -> EncodedSet:
    """Prepare a set of encoded images under `root` if that has not been done, and open it.

    `name` is one of `IMAGE_SOURCES`, and `files` the folder with the files that were published.
    Images stay as they were published; all are decoded once to see that they can be. At most
    256 are in memory. A process that is killed leaves what it has done to the next one.
    `progress(done, total)` is called from time to time.

    Raises `DataSetError`: before any work if the name is unknown or files are missing, later for
    images that cannot be decoded (unless `damaged_images` is "leave_out"), or if there are more
    or fewer than were published.

    **Example**

    ```python
    imagenet = prepare_images("imagenet2012", Path(".lopt/datasets"), Path("downloads"))
    ```
    """
    return prepare_source(
        find_image_source(name), root, files, damaged_images=damaged_images, progress=progress
    )


def prepare_source(
    source: ImageSource,
    root: Path,
    files: Path,
    *,
    damaged_images: Damaged = "refuse",
    progress: Progress | None = None,
) -> EncodedSet:
    """Do what `prepare_images` does for a set that need not be one of `IMAGE_SOURCES`.

    **Example**

    ```python
    prepare_source(IMAGE_SOURCES["encoded_digits"], Path(".lopt/datasets"), Path())
    ```
    """
    folder = Path(root).absolute() / source.name
    found = find_prepared(folder, source.version)
    if found is None:
        if lacking := missing_files(source, Path(files)):
            raise DataSetError(lacking)
        with alone_in(folder):
            found = find_prepared(folder, source.version)
            if found is None:
                count = counter(progress, sum(source.counts.values()))
                with _archives_named(Path(files)):
                    found = _prepare_in(folder, source, Path(files), damaged_images, count)
    return open_encoded(found)


def images_directory(name: str, root: Path) -> Path:
    """Return where under `root` the set of encoded images called `name` lies prepared.

    Raises `DataSetError` if the name is unknown, and its kind `NotPreparedError` if the set is
    not prepared.

    **Example**

    ```python
    stream = open_stream(images_directory("imagenet2012", root), "train", batch_size=256,
                         image_size=224)
    ```
    """
    found = find_prepared(Path(root).absolute() / name, find_image_source(name).version)
    if found is None:
        raise NotPreparedError(f"{name} is not prepared under {root}. Prepare it first.")
    return found


@contextlib.contextmanager
def _archives_named(files: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise DataSetError(
            f"An archive of {files} cannot be read: {error}. Fetch it again."
        ) from error


def _prepare_in(
    folder: Path,
    source: ImageSource,
    files: Path,
    damaged: Damaged,
    count: Callable[[int], None],
) -> Path:
    mark = _mark(source, files, damaged)
    aside, records = folder / f"{PARTS}{mark}", folder / f"{RECORDS}{mark}"
    _remove_all_but(folder, {aside, records})
    for made in (aside, records):
        made.mkdir(exist_ok=True)
    shards: dict[str, list[ShardEntry]] = {split: [] for split in SPLITS}
    for part in source.parts(files):
        stem = f"{part.split}-{len(shards[part.split]):05}"
        entry = make_part(
            part,
            aside / f"{stem}.arrow",
            records / f"{stem}.json",
            facts={"name": source.name, "version": source.version, "split": part.split},
            decoded=source.sides is None,
            damaged=damaged,
            on_examples=count,
        )
        shards[part.split].append(entry)
    _require_all(source, shards)
    splits = {split: tuple(entries) for split, entries in shards.items()}
    manifest = EncodedManifest(source.name, source.version, source.classes, source.sides, splits)
    write_encoded_manifest(manifest, aside)
    target = folder / f"{manifest.version}-{manifest.digest[:DIGEST_CHARACTERS]}"
    publish(aside, target)
    shutil.rmtree(records)
    return target


def _mark(source: ImageSource, files: Path, damaged: Damaged) -> str:
    """Return what differs where parts that are there already would not be the same."""
    states = [(files / name).stat() for name in source.files]
    facts = [
        FORMAT,
        source.version,
        damaged,
        [(state.st_size, state.st_mtime_ns) for state in states],
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:DIGEST_CHARACTERS]


def _remove_all_but(folder: Path, kept: set[Path]) -> None:
    for pattern in (PARTS, RECORDS):
        for leftover in folder.glob(f"{pattern}*"):
            if leftover not in kept:
                shutil.rmtree(leftover)


def _require_all(source: ImageSource, shards: Mapping[str, Sequence[ShardEntry]]) -> None:
    for split, expected in source.counts.items():
        found = sum(entry.count + len(entry.left_out) for entry in shards[split])
        if found != expected:
            raise DataSetError(
                f"{source.name} has {expected} images in the split {split}, but {found} were "
                "found: a file is not whole. Fetch it again."
            )
