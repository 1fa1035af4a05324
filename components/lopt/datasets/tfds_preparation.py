"""Letting TFDS prepare a data set, quietly, and never without knowing where from."""

import contextlib
import logging
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lopt.datasets.debian import DEBIAN_PACKAGE, has_fashion_mnist, restore_fashion_mnist
from lopt.datasets.errors import DataSetError
from lopt.datasets.network import why_unreachable


def prepare_with_tfds(
    name: str, directory: Path, fashion_mnist_files: Path, on_example: Callable[[], None]
) -> Any:
    """Prepare the data set `name` in `directory` and return its TFDS builder.

    TFDS verifies the SHA-256 of every raw file, downloaded or not. Raises `DataSetError` if a
    download is needed and impossible, or if it goes wrong.

    **Example**

    ```python
    builder = prepare_with_tfds("digits", directory, DEBIAN_FASHION_MNIST, lambda: None)
    builder.as_data_source(split="train")[0]["label"]
    ```
    """
    from lopt.datasets.builders import BUILDERS
    from lopt.datasets.tfds import DownloadError, NonMatchingChecksumError, tfds

    builder = BUILDERS[name](data_dir=directory, file_format="array_record")
    builder.on_example = on_example
    raw_files = directory / "raw_files"
    if name == "fashion_mnist" and has_fashion_mnist(fashion_mnist_files):
        restore_fashion_mnist(fashion_mnist_files, raw_files)
    else:
        _require_network(builder, fashion_mnist_files)
    conf = tfds.download.DownloadConfig(manual_dir=raw_files)
    tfds.disable_progress_bar()
    try:
        builder.download_and_prepare(download_dir=directory / "downloads", download_config=conf)
    except (OSError, tarfile.TarError, DownloadError, NonMatchingChecksumError) as error:
        raise DataSetError(f"TFDS could not prepare {name}: {error}") from error
    return builder


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back TFDS's advice (to install OpenCV, say); errors pass.

    **Example**

    ```python
    with quiet():
        builder.as_data_source(split="train")[0]
    ```
    """
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _require_network(builder: Any, fashion_mnist_files: Path) -> None:
    url = next(iter(builder.url_infos), None)
    reason = url and why_unreachable(url)
    if reason:
        found = "are" if has_fashion_mnist(fashion_mnist_files) else "are not"
        raise DataSetError(
            f"{builder.name} has to be downloaded, but {url} cannot be reached: {reason}. "
            "Without network these can be prepared: digits (comes with scikit-learn); "
            f"fashion_mnist, from the four files of Debian's package {DEBIAN_PACKAGE}, which "
            f"{found} in {fashion_mnist_files}."
        )
