"""The files in which MNIST, its kin and CIFAR-10 are published, read with NumPy alone."""

import gzip
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

CIFAR_RECORD = np.dtype([("label", "u1"), ("image", "u1", (3, 32, 32))])


def read_idx(path: Path) -> UInt8[np.ndarray, "..."]:
    """Read the bytes of a gzipped IDX file in the shape that its header states.

    The header ends with one big-endian 32-bit size for each axis, of which its fourth byte
    gives the number. http://yann.lecun.com/exdb/mnist/

    **Example**

    ```python
    read_idx(Path("train-images-idx3-ubyte.gz")).shape  # (60000, 28, 28)
    ```
    """
    content = gzip.decompress(path.read_bytes())
    axes = content[3]
    shape = np.frombuffer(content, ">u4", count=axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def read_cifar(archive: Path, batches: str) -> Iterator[tuple[np.ndarray, int]]:
    """Yield image (uint8, 32x32x3) and label of the files whose names begin with `batches`.

    The archive holds five files `data_batch_*.bin` to train with and one `test_batch.bin`,
    records of a label and an image with its colours first.
    https://www.cs.toronto.edu/~kriz/cifar.html

    **Example**

    ```python
    image, label = next(read_cifar(Path("cifar-10-binary.tar.gz"), "test"))
    ```
    """
    for content in _members(archive, rf"{batches}_batch.*\.bin"):
        for record in np.frombuffer(content, CIFAR_RECORD):
            yield record["image"].transpose(1, 2, 0), int(record["label"])


def read_cifar_names(archive: Path) -> list[str]:
    """Read the names of CIFAR-10's classes from its archive.

    **Example**

    ```python
    read_cifar_names(Path("cifar-10-binary.tar.gz"))[0]  # "airplane"
    ```
    """
    (content,) = _members(archive, r"batches\.meta\.txt")
    return content.decode().split()


def _members(archive: Path, pattern: str) -> Iterator[bytes]:
    with tarfile.open(archive) as opened:
        for member in sorted(opened.getmembers(), key=lambda member: member.name):
            if re.fullmatch(rf".*/{pattern}", member.name):
                content = opened.extractfile(member)
                assert content is not None, f"{member.name} is not a file"
                yield content.read()
