"""Fashion-MNIST without network, from Debian's package `dataset-fashion-mnist`.

Debian packs the very files that Zalando published, but takes name and time out of their gzip
headers, so that their SHA-256 is another than the one that TFDS has on record. With the
header put back the bytes are the published ones, and TFDS checks that itself.
https://packages.debian.org/dataset-fashion-mnist
"""

from pathlib import Path

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
DEBIAN_PACKAGE = "dataset-fashion-mnist"

# Name of the published file, and its time in seconds since 1970.
PUBLISHED = {
    "train-images-idx3-ubyte": 1504176606,
    "train-labels-idx1-ubyte": 1504176606,
    "t10k-images-idx3-ubyte": 1504176627,
    "t10k-labels-idx1-ubyte": 1504176627,
}
STRIPPED_HEADER_BYTES = 10
NAME_FOLLOWS, BEST_COMPRESSION_UNIX = b"\x1f\x8b\x08\x08", b"\x00\x03"


def has_fashion_mnist(files: Path) -> bool:
    """Say whether all four files lie in the folder `files`.

    **Example**

    ```python
    has_fashion_mnist(DEBIAN_FASHION_MNIST)
    ```
    """
    return all((files / f"{name}.gz").is_file() for name in PUBLISHED)


def restore_fashion_mnist(files: Path, directory: Path) -> None:
    """Write the four files of the folder `files` into `directory` as they were published.

    A gzip header is ten bytes, the time in bytes 4 to 7, and the name where the flags
    announce one (RFC 1952, section 2.3).

    **Example**

    ```python
    restore_fashion_mnist(DEBIAN_FASHION_MNIST, directory)
    ```
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name, seconds in PUBLISHED.items():
        time = seconds.to_bytes(4, "little")
        header = NAME_FOLLOWS + time + BEST_COMPRESSION_UNIX + name.encode() + b"\x00"
        body = (files / f"{name}.gz").read_bytes()[STRIPPED_HEADER_BYTES:]
        (directory / f"{name}.gz").write_bytes(header + body)
