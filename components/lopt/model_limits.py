"""How large a model may be, asked of its store before anything is downloaded or parsed."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from lopt.release import (
    CONFIG_FILE,
    LARGEST_CONFIG,
    LARGEST_META_PARAMS,
    META_PARAMS_FILE,
    ReleaseError,
)
from lopt.release_config import GET_AGAIN

MLMODEL_FILE = "MLmodel"
RELEASE_FOLDER = "release"
LARGEST_MLMODEL = 2**16
"""In bytes; lopt writes about 1500, and YAML of a megabyte takes half a minute to parse."""
LARGEST_MODEL = LARGEST_META_PARAMS + 2 * LARGEST_CONFIG
"""In bytes, all files together."""
MOST_FILES = 100
"""With the folders among them; lopt writes 9, and MLflow adds one where it downloads them."""

_LARGEST = {
    MLMODEL_FILE: LARGEST_MLMODEL,
    f"{RELEASE_FOLDER}/{CONFIG_FILE}": LARGEST_CONFIG,
    f"{RELEASE_FOLDER}/{META_PARAMS_FILE}": LARGEST_META_PARAMS,
}


class Listed(NamedTuple):
    """A file or folder of a model, as its store tells of it."""

    path: str
    """Within the model, with slashes."""
    is_folder: bool
    size: int | None
    """In bytes; `None` for what the store does not tell."""


def check_limits(listing: Iterable[Listed], where: str) -> int:
    """Return how many files and folders a model has, after a look at how large they are.

    Raises `ReleaseError` at the first entry beyond a limit, and asks for no more of the
    `listing` then; `where` is what the model is called in the error.

    **Example**

    ```python
    check_limits(local_listing(Path("model")), "model")
    ```
    """
    count = total = 0
    for count, one in enumerate(listing, start=1):
        if count > MOST_FILES:
            raise ReleaseError(
                f"{where} has more than {MOST_FILES} files and folders, {one.path!r} among them. "
                f"{_refused('It has to be a model alone')}"
            )
        if one.is_folder:
            continue
        if one.size is None:
            raise ReleaseError(
                f"{where}: its store does not tell the size of {one.path!r}, or it is empty, so "
                "nothing was downloaded. Download the model by other means, and load the folder "
                "that it is in."
            )
        total += one.size
        largest = _LARGEST.get(one.path, LARGEST_MODEL)
        if one.size > largest:
            raise ReleaseError(
                f"{where}: {one.path!r} has {one.size} bytes, and the limit is {largest}. "
                f"{_refused('lopt never writes such a file')}"
            )
        if total > LARGEST_MODEL:
            raise ReleaseError(
                f"{where} has {total} bytes or more with {one.path!r}, and the limit for a model "
                f"is {LARGEST_MODEL}. {_refused('It has to be a model alone')}"
            )
    return count


def store_listing(list_artifacts: Callable[[str], Iterable[Any]], folder: str) -> Iterator[Listed]:
    """Go over all that is in a folder of an MLflow artifact store, folders before their content.

    **Example**

    ```python
    check_limits(store_listing(repository.list_artifacts, "optimizer"), "runs:/0123/optimizer")
    ```
    """
    prefix = f"{folder}/" if folder else ""
    waiting = [folder]
    while waiting:
        asked = waiting.pop()
        for one in list_artifacts(asked):
            # Some stores list a folder within itself.
            if one.path not in (".", asked):
                yield Listed(one.path.removeprefix(prefix), one.is_dir, one.file_size)
                waiting += [one.path] if one.is_dir else []


def local_listing(directory: Path) -> Iterator[Listed]:
    """Go over all that is in a directory of this machine; links are not followed to folders.

    **Example**

    ```python
    check_limits(local_listing(Path("model")), "model")
    ```
    """
    waiting = [""]
    while waiting:
        with os.scandir(directory / waiting.pop()) as entries:
            for entry in entries:
                path = Path(entry.path).relative_to(directory).as_posix()
                is_folder = entry.is_dir(follow_symlinks=False)
                yield Listed(path, is_folder, _size(entry))
                waiting += [path] if is_folder else []


def read_mlmodel(directory: Path) -> bytes:
    """Return what is in the MLmodel file in `directory`, never more than the limit.

    Raises `ReleaseError` for a file that is larger, or none at all.

    **Example**

    ```python
    yaml.safe_load(read_mlmodel(Path("model")))
    ```
    """
    path = directory / MLMODEL_FILE
    if not path.is_file():
        raise ReleaseError(f"{directory} is not an MLflow model: it has no file {MLMODEL_FILE}.")
    with path.open("rb") as file:
        # Not by its size: it may have grown since somebody asked for that.
        data = file.read(LARGEST_MLMODEL + 1)
    if len(data) > LARGEST_MLMODEL:
        raise ReleaseError(
            f"{path} has more than {LARGEST_MLMODEL} bytes, which is the limit. It was not "
            f"parsed: lopt never writes such a file. {GET_AGAIN}"
        )
    return data


def _refused(reason: str) -> str:
    return f"Nothing was downloaded or parsed. {reason}: {GET_AGAIN[:1].lower()}{GET_AGAIN[1:]}"


def _size(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat().st_size
    except OSError:  # a link to nothing
        return entry.stat(follow_symlinks=False).st_size
