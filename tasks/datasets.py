"""Preparing data sets."""

from pathlib import Path

from prefect import task

from tasks import settings, terminal
from tasks.confs import DatasetsConf
from tasks.errors import may_pass
from tasks.references import DataSetReference


@task(
    name="prepare-dataset",
    task_run_name="prepare-{name}",
    retries=1,
    retry_delay_seconds=5,
    retry_condition_fn=may_pass,
)
def prepare_dataset(name: str, conf: DatasetsConf) -> DataSetReference:
    """Prepare one data set, or find it prepared."""
    from lopt import datasets

    found = datasets.prepare(
        name,
        settings.datasets_root(),
        fashion_mnist_files=Path(conf.fashion_mnist_files),
        progress=lambda done, total: terminal.reach(100 * done // total, name),
    )
    return DataSetReference(
        name=found.name,
        version=found.version,
        digest=found.digest,
        directory=str(found.directory),
        counts=dict(found.counts),
    )
