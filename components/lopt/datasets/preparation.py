"""Preparing data sets: at most once, by one process at a time, and all or nothing."""

from collections.abc import Callable
from pathlib import Path

from lopt.datasets.conversion import convert
from lopt.datasets.data_set import DataSet, open_dataset
from lopt.datasets.debian import DEBIAN_FASHION_MNIST
from lopt.datasets.errors import DataSetError, NotPreparedError
from lopt.datasets.folders import alone_in, leftovers, publish, remove_leftovers, temporary_folder
from lopt.datasets.sources import find_source
from lopt.datasets.tfds_preparation import prepare_with_tfds, quiet

DIGEST_CHARACTERS = 12
EXAMPLES_BETWEEN_REPORTS = 500

Progress = Callable[[int, int], None]


def prepare(
    name: str,
    root: Path,
    *,
    fashion_mnist_files: Path = DEBIAN_FASHION_MNIST,
    progress: Progress | None = None,
) -> DataSet:
    """Prepare a data set under `root` if that has not been done, and open it.

    `name` is "digits", "mnist", "fashion_mnist" or "cifar10". TFDS prepares it without
    TensorFlow, in a folder aside, and what it prepared becomes Arrow files in
    `root/<name>/<version>-<digest>`, a folder that appears at once and whole. Where the data
    set is there already it is only checked. Processes that prepare the same data set wait
    for each other, and what a killed one left behind is removed.

    Fashion-MNIST comes from the four files in `fashion_mnist_files` where they exist (those
    of Debian's package dataset-fashion-mnist), the digits from scikit-learn; everything else
    is downloaded. `progress(done, total)` is called from time to time.

    Raises `DataSetError`, within seconds, if the name is unknown, if there is no network for
    a download, or if what is there is damaged.

    **Example**

    ```python
    digits = lopt.datasets.prepare("digits", Path(".lopt/datasets"))
    ```
    """
    source = find_source(name)
    folder = Path(root).absolute() / name
    found = find_prepared(folder, source.version)
    if found is None or leftovers(folder):
        with alone_in(folder):
            remove_leftovers(folder)
            found = find_prepared(folder, source.version)
            if found is None:
                # Each example is prepared by TFDS first and converted then.
                count = counter(progress, 2 * source.examples)
                found = _prepare_in(folder, name, Path(fashion_mnist_files), count)
    return open_dataset(found)


def _prepare_in(folder: Path, name: str, files: Path, count: Callable[[int], None]) -> Path:
    with temporary_folder(folder) as aside, quiet():
        builder = prepare_with_tfds(name, aside / "tfds", files, lambda: count(1))
        finished = aside / "finished"
        finished.mkdir()
        manifest = convert(builder, finished, count)
        target = folder / f"{manifest.version}-{manifest.digest[:DIGEST_CHARACTERS]}"
        publish(finished, target)
    return target


def counter(progress: Progress | None, total: int) -> Callable[[int], None]:
    """Return what is told how many more examples are done, and tells `progress` now and then.

    **Example**

    ```python
    count = counter(progress, total=70_000)
    count(500)  # progress(500, 70_000)
    ```
    """
    done = 0

    def count(examples: int) -> None:
        nonlocal done
        before, done = done, done + examples
        if progress and done // EXAMPLES_BETWEEN_REPORTS > before // EXAMPLES_BETWEEN_REPORTS:
            progress(min(done, total), total)

    return count


def dataset_directory(name: str, root: Path) -> Path:
    """Return where under `root` the data set called `name` lies prepared.

    Raises `DataSetError` if the name is unknown, and its kind `NotPreparedError` if the data set
    is not prepared.

    **Example**

    ```python
    dataset_directory("digits", root).name  # "1.0.0-1f4b0f6f4c5e"
    ```
    """
    folder = Path(root).absolute() / name
    found = find_prepared(folder, find_source(name).version)
    if found is None:
        raise NotPreparedError(f"{name} is not prepared under {root}. Prepare it first.")
    return found


def find_prepared(folder: Path, version: str) -> Path | None:
    """Return where in a data set's own folder it lies prepared, or `None`.

    Raises `DataSetError` if a version is there with several contents.

    **Example**

    ```python
    find_prepared(root / "digits", "1.0.0")
    ```
    """
    prepared = sorted(folder.glob(f"{version}-*"))
    if len(prepared) > 1:
        raise DataSetError(
            f"{folder} holds {version} with different contents: "
            f"{', '.join(path.name for path in prepared)}. Remove all but the right one."
        )
    return prepared[0] if prepared else None
