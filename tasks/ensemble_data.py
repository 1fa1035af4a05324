"""The data sets that the problems of an ensemble are made of, by the names that specs use."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import settings

if TYPE_CHECKING:
    from lopt.problems.images import DataSets, LabelledImages


def stand_ins() -> "DataSets":
    """Return every data set there is without its images, which are not needed to check a spec."""
    import jax
    import numpy as np

    from lopt.datasets import SOURCES
    from lopt.problems.images import LabelledImages

    return {
        name: LabelledImages(
            images=jax.ShapeDtypeStruct(
                (source.training_examples, *source.schema.image_shape), np.uint8
            ),
            labels=jax.ShapeDtypeStruct((source.training_examples,), np.int32),
            classes=source.schema.classes,
            digest="",
            mean=0.0,
            deviation=1.0,
        )
        for name, source in SOURCES.items()
    }


def training_images(names: Iterable[str]) -> "DataSets":
    """Return the training images of prepared data sets.

    Raises `DataSetError` if one of them is unknown, not prepared, or damaged.
    """
    names = list(names)
    directories = {name: _directory(name, names) for name in names}
    return {name: _training_images(directory) for name, directory in directories.items()}


def _directory(name: str, all_names: list[str]) -> Path:
    from lopt.datasets import NotPreparedError, dataset_directory

    try:
        return dataset_directory(name, settings.datasets_root())
    except NotPreparedError as error:
        names = ",".join(all_names)
        raise NotPreparedError(
            f"{error} The ensemble's problems are made of it: "
            f"python -m flows.prepare_datasets --set names=[{names}]"
        ) from None


def _training_images(directory: Path) -> "LabelledImages":
    from lopt.datasets import open_dataset
    from lopt.problems.images import labelled_images

    data_set = open_dataset(directory)
    train = data_set.split("train")
    return labelled_images(train.images, train.labels, data_set.schema.classes, data_set.digest)
