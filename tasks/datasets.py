"""Preparing data sets."""

from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task

from tasks import settings, terminal
from tasks.confs import DatasetsConf
from tasks.errors import may_pass
from tasks.references import DataSetReference

if TYPE_CHECKING:
    from lopt.datasets import DataSet
    from lopt.datasets.preparation import Progress
    from lopt.datasets.streams import EncodedSet


@task(
    name="prepare-dataset",
    task_run_name="prepare-{name}",
    retries=1,
    retry_delay_seconds=5,
    retry_condition_fn=may_pass,
)
def prepare_dataset(name: str, conf: DatasetsConf) -> DataSetReference:
    """Prepare one data set, or find it prepared."""
    from lopt.datasets.streams import IMAGE_SOURCES

    found = _encoded(name, conf) if name in IMAGE_SOURCES else _arrays(name, conf)
    return DataSetReference(
        name=found.name,
        version=found.version,
        digest=found.digest,
        directory=str(found.directory),
        counts=dict(found.counts),
    )


def _arrays(name: str, conf: DatasetsConf) -> "DataSet":
    from lopt import datasets

    return datasets.prepare(
        name,
        settings.datasets_root(),
        fashion_mnist_files=Path(conf.fashion_mnist_files),
        progress=_reach(name),
    )


def _encoded(name: str, conf: DatasetsConf) -> "EncodedSet":
    from lopt.datasets.streams import prepare_images

    return prepare_images(
        name,
        settings.datasets_root(),
        Path(conf.manual_files).expanduser(),
        damaged_images=conf.damaged_images,
        progress=_reach(name),
    )


def _reach(name: str) -> "Progress":
    return lambda done, total: terminal.reach(100 * done // total, name)
