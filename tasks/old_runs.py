"""MLflow runs of ours that ended long ago, and whose files no version in the registry needs.

Their metrics, params and tags stay: they are small, and what a person compares runs by.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tasks import tags, tracking
from tasks.needed import Needed, all_pages

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

OVER = ("FINISHED", "FAILED", "KILLED")
DAY = 86_400_000


def old_runs(days: float, waiting: set[str], keep: Needed) -> "Iterator[Run]":
    """Yield runs that may be emptied: over for so many days, as all of their cycle are.

    A cycle is kept as a whole where one of its runs made a version, evaluated the release of
    one, or is `waiting` to be published (ids of runs).
    """
    before = time.time() * 1000 - days * DAY
    asked = f"attributes.end_time < {int(before)}"
    known: dict[str, bool] = {}
    for run in _runs(asked):
        if _is_empty(run) or not _is_ours(run):
            continue
        cycle = _first(run)
        name = str(cycle.info.run_id)
        if name not in known:
            known[name] = _may_go(cycle, before, waiting, keep)
        if known[name]:
            yield run


def may_be_emptied(mlflow_run_id: str, days: float, waiting: set[str], keep: Needed) -> bool:
    """Tell whether that is still so for one of them: somebody may have gone on with it."""
    before = time.time() * 1000 - days * DAY
    cycle = _first(tracking.client().get_run(mlflow_run_id))
    return _may_go(cycle, before, waiting, keep)


def empty(mlflow_run_id: str) -> None:
    """Remove the files of a run, and say so on it."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    client = tracking.client()
    place = client.get_run(mlflow_run_id).info.artifact_uri
    get_artifact_repository(place).delete_artifacts()
    client.set_tag(
        mlflow_run_id, tags.EMPTIED, datetime.now(UTC).isoformat(timespec="milliseconds")
    )


def bytes_of(run: "Run") -> int:
    """Return how much the files of a run take."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return _bytes_in(get_artifact_repository(run.info.artifact_uri), None)


def _bytes_in(store: "ArtifactRepository", folder: str | None) -> int:
    files = store.list_artifacts(folder)
    inside = sum(_bytes_in(store, file.path) for file in files if file.is_dir)
    return inside + sum(int(file.file_size or 0) for file in files)


def _runs(asked: str) -> "list[Run]":
    experiments = [tracking.experiment_id()]
    return all_pages(
        lambda page_token: tracking.client().search_runs(experiments, asked, page_token=page_token)
    )


def _is_empty(run: "Run") -> bool:
    """Return whether a run was emptied since it has ended, for it may have been gone on with."""
    since = run.data.tags.get(tags.EMPTIED)
    return (
        since is not None and datetime.fromisoformat(since).timestamp() * 1000 > run.info.end_time
    )


def _is_ours(run: "Run") -> bool:
    """Return whether a flow made it, and not a person who logs to the same experiment."""
    return tags.LOCK in run.data.tags


def _first(run: "Run") -> "Run":
    """Return the run of the cycle that a run is a part of, which may be itself."""
    while (above := tracking.run_or_none(run.data.tags.get(tags.PARENT))) is not None:
        run = above
    return run


def _may_go(cycle: "Run", before: float, waiting: set[str], keep: Needed) -> bool:
    return all(
        _is_over(run, before)
        and run.info.run_id not in (keep.runs | waiting)
        and not _releases(run) & keep.releases
        and not keep.has_place(run.info.artifact_uri)
        for run in _with_parts(cycle)
    )


def _with_parts(cycle: "Run") -> "Iterator[Run]":
    yield cycle
    for part in _runs(f"tags.`{tags.PARENT}` = '{cycle.info.run_id}'"):
        yield from _with_parts(part)


def _is_over(run: "Run", before: float) -> bool:
    return run.info.status in OVER and int(run.info.end_time) < before


def _releases(run: "Run") -> set[str]:
    return {value for tag, value in run.data.tags.items() if tag.startswith(tags.RELEASE)}
