"""Reading tar files member by member, without unpacking and without TensorFlow."""

import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from lopt.datasets.streams.examples import Example


def index(archive: Path) -> list[tarfile.TarInfo]:
    """Return the files in a tar by name; their content is stepped over.

    **Example**

    ```python
    index(Path("ILSVRC2012_img_val.tar"))[0].name  # "ILSVRC2012_val_00000001.JPEG"
    ```
    """
    with tarfile.open(archive, "r:") as opened:
        return sorted((member for member in opened if member.isfile()), key=base_name)


def base_name(member: tarfile.TarInfo) -> str:
    """Return a member's name without folders.

    **Example**

    ```python
    base_name(tarfile.TarInfo("./n01440764.tar"))  # "n01440764.tar"
    ```
    """
    return PurePosixPath(member.name).name


def read_members(
    archive: Path, members: Sequence[tarfile.TarInfo], label: Callable[[str], int]
) -> Iterator[Example]:
    """Yield the members as examples, of the label that `label` gives their names.

    **Example**

    ```python
    next(read_members(archive, index(archive)[:10], label=lambda name: 0)).name
    ```
    """
    with tarfile.open(archive, "r:") as opened:
        for member in members:
            yield _example(opened, member, label(base_name(member)))


def read_inner(archive: Path, inner: tarfile.TarInfo, label: int) -> Iterator[Example]:
    """Yield all files of a tar within a tar as examples of one label, in the order of the tar.

    **Example**

    ```python
    next(read_inner(Path("ILSVRC2012_img_train.tar"), index(archive)[0], label=0)).name
    ```
    """
    with (
        tarfile.open(archive, "r:") as outer,
        tarfile.open(fileobj=outer.extractfile(inner), mode="r:") as opened,
    ):
        for member in opened:
            if member.isfile():
                yield _example(opened, member, label)


def _example(opened: tarfile.TarFile, member: tarfile.TarInfo, label: int) -> Example:
    content = opened.extractfile(member)
    assert content is not None, f"{member.name} is not a file"
    return Example(base_name(member), content.read(), label)
