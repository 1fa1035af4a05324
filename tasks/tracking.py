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

from tasks import code_version, links, tags, temporary_server, terminal, tracking_store
from tasks.confs import StageConf
from tasks.links import NO_TAGS
from tasks.stopping import stop_behind
from tasks.tracking_store import client, experiment_id, is_code

if TYPE_CHECKING:
    from mlflow.entities import Run

EXPERIMENT = tracking_store.EXPERIMENT
LARGEST_BATCH = 1000


@contextmanager
def tracked(
    name: str,
    confs: Mapping[str, StageConf],
    parent: str | None = None,
    resumed: str | None = None,
    tags: Mapping[str, str] = NO_TAGS,
) -> Iterator[str]:
    """Open an MLflow run, or one again, give its id, and end it as what is done inside ends.

    An exception ends it as FAILED, and what is none (Ctrl-C, a cancellation) as KILLED.
    """
    found = run_or_none(resumed)
    mlflow_run_id = _reopen(found, parent) if found else _create(name, confs, parent, tags)
    try:
        links.show_mlflow_run(experiment_id(), mlflow_run_id)
        yield mlflow_run_id
    except BaseException as error:
        failed = isinstance(error, Exception) and stop_behind(error) is None
        _end_badly(mlflow_run_id, "FAILED" if failed else "KILLED")
        if not failed:
            temporary_server.ask_less_often()
        raise
    client().set_terminated(mlflow_run_id, "FINISHED")


def _end_badly(mlflow_run_id: str, status: str) -> None:
    """End a run for which there is a reason already, which is not to be lost for another one.

    Somebody may wait for the process to end, so MLflow is not waited for.
    """
    try:
        with tracking_store.without_patience():
            client().set_terminated(mlflow_run_id, status)
    except Exception as error:  # noqa: BLE001 whatever it is, it is not why the run ends
        said = "does not answer" if tracking_store.is_away(error) else f"refuses that ({error})"
        terminal.warn(f"The run {mlflow_run_id} has ended, but MLflow {said}.")


def log_metrics(
    mlflow_run_id: str,
    rows: Sequence[tuple[int, Mapping[str, float]]],
    times: Mapping[int, int] | None = None,
) -> None:
    """Log the metrics of several steps, in as few batches as MLflow lets us.

    A batch holds whole steps, so the last step of any metric is the last of all. `times` are by
    step, in milliseconds since 1970: MLflow takes the same number of the same time only once.
    """
    from mlflow.entities import Metric

    now, known = int(time.time() * 1000), times or {}
    batch: list[Metric] = []
    for step, metrics in rows:
        if len(batch) + len(metrics) > LARGEST_BATCH:
            client().log_batch(mlflow_run_id, metrics=batch)
            batch = []
        at = known.get(step, now)
        batch += [Metric(name, value, at, step) for name, value in metrics.items()]
    client().log_batch(mlflow_run_id, metrics=batch)


def last_step(mlflow_run_id: str, metric: str) -> int:
    """Return the last step at which a metric was logged, -1 for never."""
    points = client().get_metric_history(mlflow_run_id, metric)
    return max((point.step for point in points), default=-1)


class LoggedRows:
    """What a run's steps gave, each of them logged once, however often it is gone on with.

    A process may die between logging steps and keeping that they are done, and takes them again.
    What is logged already is asked for once: MLflow gives only the whole history, so that this
    would take ever longer.
    """

    def __init__(self, mlflow_run_id: str, metric: str) -> None:
        self._mlflow_run_id, self._metric = mlflow_run_id, metric
        self._last: int | None = None

    def log(
        self,
        rows: Sequence[tuple[int, Mapping[str, float]]],
        times: Mapping[int, int] | None = None,
    ) -> None:
        """Log the rows that are not logged yet; each has the metric.

        With the same `times` at every attempt a row is logged once even where MLflow is still at
        work on the attempt before, of which nobody heard the end.
        """
        # Unknown again, should logging fail in the middle.
        last, self._last = self._last, None
        if last is None:
            last = last_step(self._mlflow_run_id, self._metric)
        new = [row for row in rows if row[0] > last]
        log_metrics(self._mlflow_run_id, new, times)
        self._last = max([last, *(step for step, _ in new)])


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


def _create(
    name: str, confs: Mapping[str, StageConf], parent: str | None, more: Mapping[str, str]
) -> str:
    said = {
        tags.SOURCE: name,
        tags.GIT_COMMIT: code_version.git_commit(),
        tags.GIT_DIRTY: code_version.git_dirty(),
        tags.LOCK: code_version.lock_digest(),
        **links.tags_of_flow_run(),
        tags.PARENT: parent,
    }
    # What it is looked for by is there from the first moment.
    run = client().create_run(
        experiment_id(), run_name=flow_run.get_name() or name, tags=dict(more)
    )
    set_tags(run.info.run_id, said)
    log_params(run.info.run_id, confs)
    return str(run.info.run_id)


def _reopen(run: "Run", parent: str | None) -> str:
    mlflow_run_id = str(run.info.run_id)
    _bury(run.data.tags.get(tags.PARENT))
    client().update_run(mlflow_run_id, status="RUNNING")
    links_back = links.tags_of_flow_run(run.data.tags)
    set_tags(mlflow_run_id, {tags.PARENT: parent, **links_back, tags.RESUMED: True})
    return mlflow_run_id


def adopt(mlflow_run_id: str | None, parent: str | None) -> None:
    """Make a finished run a part of another cycle, if its own has not come to its end."""
    run = None if parent is None else run_or_none(mlflow_run_id)
    if run is None:
        return
    before = run.data.tags.get(tags.PARENT)
    cycle = run_or_none(before)
    if before and (cycle is None or cycle.info.status != "FINISHED"):
        _bury(before)
        set_tags(str(mlflow_run_id), {tags.PARENT: parent})


def _bury(mlflow_run_id: str | None) -> None:
    """End the cycle of a run that is taken up again: it died without saying so."""
    cycle = run_or_none(mlflow_run_id)
    if cycle is not None and cycle.info.status == "RUNNING":
        for one in (*_running_parts(cycle.info.run_id), cycle.info.run_id):
            client().set_terminated(one, "KILLED")


def _running_parts(mlflow_run_id: str) -> list[str]:
    asked = f"tags.`{tags.PARENT}` = '{mlflow_run_id}' and attributes.status = 'RUNNING'"
    return [run.info.run_id for run in client().search_runs([experiment_id()], asked)]


def run_or_none(mlflow_run_id: str | None) -> "Run | None":
    """Return a run, `None` if there is none or it was deleted.

    Raises what MLflow raises if it cannot be asked: the run must not begin a second time for that.
    """
    from mlflow.exceptions import MlflowException

    if mlflow_run_id is None:
        return None
    try:
        run = client().get_run(mlflow_run_id)
    except MlflowException as error:
        if not is_code(error, "RESOURCE_DOES_NOT_EXIST"):
            raise
        return None
    return None if run.info.lifecycle_stage == "deleted" else run
