"""What the disk could be freed of: old, and needed by no version in the registry and no run."""

import json
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks import code_version, run_folders, settings, tracking
from tasks.confs import RetentionConf
from tasks.locks import locked
from tasks.needed import Needed, all_pages
from tasks.references import short
from tasks.run_folders import RunFolder

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel

DAY = 86_400.0
CHECKPOINTS = ("checkpoints", "best")
ASIDE = "swept"
"""Folder of the home for what is being removed."""


class Leftover(NamedTuple):
    """Something that can be removed."""

    kind: str
    place: str
    """A path, or the id of a logged model."""
    bytes: int


def leftovers(conf: RetentionConf, needed: Needed) -> Iterator[Leftover]:
    """Yield what is old enough, the largest kinds first."""
    yield from _checkpoints(conf, needed)
    yield from _models(conf, needed)
    yield from _reports(conf, needed)
    yield from _cells(conf, needed)


def remove(one: Leftover) -> bool:
    """Remove it, unless a process works on it by now; return whether it is gone."""
    if one.kind == MODELS:
        _remove_model(one.place)
        return True
    path = Path(one.place)
    with ExitStack() as kept:
        if one.kind == RUNS:
            try:
                kept.enter_context(locked(_run_of(path) / "lock", wait=False))
            except BlockingIOError:
                return False
        # Aside first: what is half removed must not be taken for something whole.
        aside = settings.home() / ASIDE
        aside.mkdir(exist_ok=True)
        path.replace(aside / uuid.uuid4().hex)
        shutil.rmtree(aside)
    return True


RUNS = "checkpoints of meta-trainings"
MODELS = "models that were logged and never registered"
REPORTS = "reports and copies of releases"
CELLS = "cells of evaluations"


def _checkpoints(conf: RetentionConf, needed: Needed) -> Iterator[Leftover]:
    for root in (settings.runs_root(), settings.figure_runs_root()):
        for record in sorted(root.glob("*/*/run.json")):
            folder = run_folders.read(record.parent)
            if folder.record.mlflow_run_id in needed.of_aliases:
                continue
            yield from (_folder(RUNS, path) for path in _old_parts(folder, conf))


def _old_parts(folder: RunFolder, conf: RetentionConf) -> list[Path]:
    """Return the checkpoints of a finished run, or all of a run that nobody went on with."""
    if not folder.finished:
        return [folder.directory] if _is_old(folder.directory, conf.artifact_days) else []
    if folder.record.awaits_publication or not _is_old(folder.release, conf.checkpoint_days):
        return []
    return [path for name in CHECKPOINTS if (path := folder.directory / name).is_dir()]


def _run_of(path: Path) -> Path:
    return path.parent if path.name in CHECKPOINTS else path


def _reports(conf: RetentionConf, needed: Needed) -> Iterator[Leftover]:
    releases = {short(digest) for digest in needed.releases}
    roots = (settings.reports_root(), settings.home() / "releases")
    for path in (path for root in roots if root.is_dir() for path in sorted(root.iterdir())):
        of_release = path.name.partition("-")[0] in releases
        if not of_release and _is_old(path, conf.artifact_days):
            yield _folder(REPORTS, path)


def _cells(conf: RetentionConf, needed: Needed) -> Iterator[Leftover]:
    library = code_version.library_digest()
    for path in sorted(settings.cells_root().glob("*/*/report.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))["facts"]
        useful = facts.get("library") == library
        useful &= facts.get("release") is None or facts["release"] in needed.releases
        if not useful and _is_old(path.parent, conf.artifact_days):
            yield _folder(CELLS, path.parent)


def _models(conf: RetentionConf, needed: Needed) -> Iterator[Leftover]:
    before = (time.time() - conf.artifact_days * DAY) * 1000
    for model in _logged_models():
        if model.model_id not in needed.logged_models and model.creation_timestamp < before:
            yield Leftover(MODELS, str(model.model_id), _bytes_of_model(model))


def _logged_models() -> "list[LoggedModel]":
    experiments = [tracking.experiment_id()]
    return all_pages(
        lambda page_token: tracking.client().search_logged_models(
            experiments, page_token=page_token
        )
    )


def _remove_model(model_id: str) -> None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    model = tracking.client().get_logged_model(model_id)
    get_artifact_repository(model.artifact_location).delete_artifacts()
    tracking.client().delete_logged_model(model_id)


def _bytes_of_model(model: "LoggedModel") -> int:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    files = get_artifact_repository(model.artifact_location).list_artifacts()
    return sum(int(file.file_size or 0) for file in files)


def _folder(kind: str, path: Path) -> Leftover:
    files = [file for file in path.rglob("*") if file.is_file()]
    return Leftover(kind, str(path), sum(file.stat().st_size for file in files))


def _is_old(path: Path, days: float) -> bool:
    """Return whether nothing in a folder was written for so many days."""
    newest = max(one.stat().st_mtime for one in (path, *path.rglob("*")))
    return time.time() - newest > days * DAY
