"""What MLflow is told, always by run id and never by an active run.

An active run does not follow a task into another thread, where `mlflow.log_metric` would
open a new run without a word; a client that is given the id cannot err.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from prefect.runtime import flow_run

from tasks import code_version, settings
from tasks.confs import StageConf

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "lopt"
PARENT_TAG = "mlflow.parentRunId"
LARGEST_BATCH = 1000


def client() -> "MlflowClient":
    """Return a client of the tracking store and the registry.

    What works on an implicit store (`lopt.registry`) is pointed to the same one.
    """
    import mlflow

    uri = settings.tracking_uri()
    if mlflow.get_tracking_uri() != uri:
        mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient(tracking_uri=uri)


@contextmanager
def tracked(
    name: str,
    confs: Mapping[str, StageConf],
    parent: str | None = None,
    resumed: str | None = None,
) -> Iterator[str]:
    """Open an MLflow run, or one again, give its id, and end it as what is done inside ends.

    An exception ends it as FAILED, and what is none (Ctrl-C, a cancellation) as KILLED.
    """
    if resumed is not None and exists(resumed):
        mlflow_run_id = _reopen(resumed, parent)
    else:
        mlflow_run_id = _create(name, confs, parent)
    try:
        yield mlflow_run_id
    except Exception:
        client().set_terminated(mlflow_run_id, "FAILED")
        raise
    except BaseException:
        client().set_terminated(mlflow_run_id, "KILLED")
        raise
    client().set_terminated(mlflow_run_id, "FINISHED")


def log_metrics(mlflow_run_id: str, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None:
    """Log the metrics of several steps, in as few batches as MLflow lets us.

    A batch holds whole steps, so the last step of any metric is the last of all.
    """
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    batch: list[Metric] = []
    for step, metrics in rows:
        if len(batch) + len(metrics) > LARGEST_BATCH:
            client().log_batch(mlflow_run_id, metrics=batch)
            batch = []
        batch += [Metric(name, value, now, step) for name, value in metrics.items()]
    client().log_batch(mlflow_run_id, metrics=batch)


def last_step(mlflow_run_id: str, metric: str) -> int:
    """Return the last step at which a metric was logged, -1 for never."""
    points = client().get_metric_history(mlflow_run_id, metric)
    return max((point.step for point in points), default=-1)


def log_params(mlflow_run_id: str, confs: Mapping[str, StageConf]) -> None:
    """Log every value of the confs as `section.key`."""
    from mlflow.entities import Param

    params = [Param(key, value) for key, value in flattened(confs).items()]
    for first in range(0, len(params), 100):
        client().log_batch(mlflow_run_id, params=params[first : first + 100])


def flattened(confs: Mapping[str, StageConf]) -> dict[str, str]:
    """Return the values of confs by `section.key`, as text.

    **Example**

    ```python
    flattened({"ensemble": EnsembleConf(seed=3)})["ensemble.seed"]  # '3'
    ```
    """
    return {
        f"{section}.{key}": str(value)
        for section, conf in confs.items()
        for key, value in conf.model_dump(mode="json").items()
    }


def set_tags(mlflow_run_id: str, tags: Mapping[str, object]) -> None:
    """Set tags, but for those that are `None`."""
    from mlflow.entities import RunTag

    known = [RunTag(key, str(value)) for key, value in tags.items() if value is not None]
    client().log_batch(mlflow_run_id, tags=known)


def log_files(mlflow_run_id: str, paths: Sequence[Path], folder: str | None = None) -> None:
    """Copy files to the run's artifacts."""
    for path in paths:
        client().log_artifact(mlflow_run_id, str(path), folder)


def _create(name: str, confs: Mapping[str, StageConf], parent: str | None) -> str:
    tags = {
        "mlflow.source.name": name,
        "git_commit": code_version.git_commit(),
        "git_dirty": code_version.git_dirty(),
        "lock_sha256": code_version.lock_digest(),
        "prefect.flow_run_id": flow_run.get_id(),
        PARENT_TAG: parent,
    }
    run = client().create_run(experiment_id(), run_name=name)
    set_tags(run.info.run_id, tags)
    log_params(run.info.run_id, confs)
    return str(run.info.run_id)


def _reopen(mlflow_run_id: str, parent: str | None) -> str:
    run = client().get_run(mlflow_run_id)
    _bury(run.data.tags.get(PARENT_TAG))
    client().update_run(mlflow_run_id, status="RUNNING")
    tags = {PARENT_TAG: parent, "prefect.flow_run_id": flow_run.get_id(), "lopt.resumed": True}
    set_tags(mlflow_run_id, tags)
    return mlflow_run_id


def adopt(mlflow_run_id: str | None, parent: str | None) -> None:
    """Make a finished run a part of another cycle, if its own has not come to its end."""
    if parent is None or mlflow_run_id is None or not exists(mlflow_run_id):
        return
    before = client().get_run(mlflow_run_id).data.tags.get(PARENT_TAG)
    if before and client().get_run(before).info.status != "FINISHED":
        _bury(before)
        set_tags(mlflow_run_id, {PARENT_TAG: parent})


def _bury(mlflow_run_id: str | None) -> None:
    """End the cycle of a run that is taken up again: it died without saying so."""
    if mlflow_run_id and client().get_run(mlflow_run_id).info.status == "RUNNING":
        for part in _running_parts(mlflow_run_id):
            client().set_terminated(part, "KILLED")
        client().set_terminated(mlflow_run_id, "KILLED")


def _running_parts(mlflow_run_id: str) -> list[str]:
    asked = f"tags.`{PARENT_TAG}` = '{mlflow_run_id}' and attributes.status = 'RUNNING'"
    return [run.info.run_id for run in client().search_runs([experiment_id()], asked)]


def exists(mlflow_run_id: str) -> bool:
    """Return whether the tracking store knows the run."""
    from mlflow.exceptions import MlflowException

    try:
        client().get_run(mlflow_run_id)
    except MlflowException:
        return False
    return True


def experiment_id() -> str:
    """Return the experiment that all runs are in, made if there is none."""
    known = client().get_experiment_by_name(EXPERIMENT)
    if known is not None:
        return str(known.experiment_id)
    return str(client().create_experiment(EXPERIMENT, settings.artifact_location()))
