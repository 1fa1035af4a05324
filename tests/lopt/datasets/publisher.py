"""A publisher of data sets on this machine: real files over real HTTP, of made-up images."""

import contextlib
import functools
import gzip
import hashlib
import http.server
import io
import struct
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from lopt.datasets.tfds import tfds
from tests.local_server import serving

UrlInfo = tfds.download.checksums.UrlInfo


class SilentHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line on the terminal for each."""

    def log_message(self, *arguments: object) -> None:
        del arguments


@contextlib.contextmanager
def published(directory: Path) -> Iterator[Mapping[str, UrlInfo]]:
    """Serve the files of a folder; yield their URLs with what TFDS registers of each."""
    handler = functools.partial(SilentHandler, directory=str(directory))
    with serving(handler) as address:
        yield {f"{address}/{path.name}": url_info(path) for path in directory.iterdir()}


def url_info(path: Path) -> UrlInfo:
    content = path.read_bytes()
    return UrlInfo(
        size=len(content), checksum=hashlib.sha256(content).hexdigest(), filename=path.name
    )


def write_idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def write_mnist(directory: Path, splits: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    for prefix, (images, labels) in splits.items():
        write_idx(directory / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(directory / f"{prefix}-labels-idx1-ubyte.gz", labels)


def write_cifar(directory: Path, batches: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Write images (height, width, colour) and labels in CIFAR-10's order: label, then colours."""
    names = [f"class_{number}" for number in range(10)]
    files = {"batches.meta.txt": "\n".join([*names, ""]).encode()}
    for name, (images, labels) in batches.items():
        colours_first = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
        files[f"{name}.bin"] = np.hstack([labels[:, None], colours_first]).tobytes()
    with tarfile.open(directory / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
