"""What the disk could be freed of: old, and needed by no version in the registry and no run."""

import json
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks import code_version, old_files, old_runs, run_folders, settings, tracking
from tasks.cell_orders import BEGUN
from tasks.confs import RetentionConf
from tasks.locks import locked, removed_if_free
from tasks.needed import Needed, all_pages, needed
from tasks.references import short
from tasks.releases import logged_model_id
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
    """A path, or the id of a logged model or of a run in MLflow."""
    bytes: int


def leftovers(conf: RetentionConf, keep: Needed) -> Iterator[Leftover]:
    """Yield what is old enough, the largest kinds first."""
    yield from _checkpoints(conf, keep)
    yield from _models(conf, keep)
    yield from _files(conf, keep)
    yield from _reports(conf, keep)
    yield from _cells(conf, keep)
    ensembles = old_files.old_ensembles(conf.artifact_days, keep)
    yield from (_file(ENSEMBLES, path) for path in ensembles)
    yield from (_file(LOCKS, path) for path in old_files.old_locks(conf.artifact_days))
    # Of a sweep that died in the middle.
    yield from (_folder(HALVES, path) for path in sorted((settings.home() / ASIDE).glob("*")))


def remove(one: Leftover, conf: RetentionConf) -> bool:
    """Remove it, unless it is worked on or needed by now; return whether it is gone."""
    return _REMOVERS[one.kind](one.place, conf)


def _remove_part(path: Path, conf: RetentionConf, keep: Needed) -> bool:
    """Remove a part of a run, or all of it, if that is still to be done once nobody works on it."""
    run = _run_of(path)
    try:
        with locked(run / "lock", wait=False):
            if path not in _old_parts(run_folders.read(run), conf, keep):
                return False
            return _remove_folder(path)
    except BlockingIOError:
        return False


def _remove_folder(path: Path) -> bool:
    # Aside first: what is half removed must not be taken for something whole.
    aside = settings.home() / ASIDE / uuid.uuid4().hex
    aside.parent.mkdir(exist_ok=True)
    path.replace(aside)
    return _remove_half(aside)


RUNS = "checkpoints of meta-trainings"
MODELS = "models that were logged and never registered"
FILES = "files of runs in MLflow that made no version"
REPORTS = "reports and copies of releases"
CELLS = "cells of evaluations"
ENSEMBLES = "drawn ensembles"
LOCKS = "locks of nights"
HALVES = "what a sweep has removed by half"


def _checkpoints(conf: RetentionConf, keep: Needed) -> Iterator[Leftover]:
    for root in (settings.runs_root(), settings.figure_runs_root()):
        for record in sorted(root.glob("*/*/run.json")):
            folder = run_folders.read(record.parent)
            yield from (_folder(RUNS, path) for path in _old_parts(folder, conf, keep))


def _old_parts(folder: RunFolder, conf: RetentionConf, keep: Needed) -> list[Path]:
    """Return the checkpoints of a finished run, or all of a run that nobody went on with."""
    if folder.record.mlflow_run_id in keep.of_aliases:
        return []
    if not folder.finished:
        return [folder.directory] if _is_old(folder.directory, conf.artifact_days) else []
    # Whatever is still to be logged or published is made of the release, and of nothing else.
    if not _is_old(folder.release, conf.checkpoint_days):
        return []
    return [path for name in CHECKPOINTS if (path := folder.directory / name).is_dir()]


def _run_of(path: Path) -> Path:
    return path.parent if path.name in CHECKPOINTS else path


def _remove_report(path: Path, keep: Needed) -> bool:
    return not _is_of(path, keep) and _remove_folder(path)


def _remove_half(path: Path) -> bool:
    shutil.rmtree(path)
    return True


def _reports(conf: RetentionConf, keep: Needed) -> Iterator[Leftover]:
    roots = (settings.reports_root(), settings.home() / "releases")
    for path in (path for root in roots if root.is_dir() for path in sorted(root.iterdir())):
        if not _is_of(path, keep) and _is_old(path, conf.artifact_days):
            yield _folder(REPORTS, path)


def _is_of(path: Path, keep: Needed) -> bool:
    """Return whether a report, or the copy of a release, is of a version."""
    return path.name.partition("-")[0] in {short(digest) for digest in keep.releases}


def _cells(conf: RetentionConf, keep: Needed) -> Iterator[Leftover]:
    library = code_version.library_digest()
    for path in sorted(settings.cells_root().glob("*/*/report.json")):
        facts = _facts(path)
        useful = facts.get("library") == library
        useful &= facts.get("release") is None or facts["release"] in keep.releases
        if not useful and _is_old(path.parent, conf.artifact_days):
            yield _folder(CELLS, path.parent)
    # Of cells that were begun and that nobody has gone on with.
    for path in sorted(settings.cells_root().glob(f"*/*{BEGUN}")):
        if _is_old(path, conf.artifact_days):
            yield _folder(CELLS, path)


def _facts(report: Path) -> dict[str, str]:
    """Return what decides a cell's content; nothing for one that was damaged and put aside."""
    try:
        return dict(json.loads(report.read_text(encoding="utf-8"))["facts"])
    except (ValueError, KeyError):
        return {}


def _models(conf: RetentionConf, keep: Needed) -> Iterator[Leftover]:
    before = (time.time() - conf.artifact_days * DAY) * 1000
    waiting = _models_of_waiting_runs()
    for model in _logged_models():
        kept = model.model_id in waiting or _is_version(model, keep)
        if not kept and model.creation_timestamp < before:
            yield Leftover(MODELS, str(model.model_id), _bytes_of_model(model))


def _models_of_waiting_runs() -> set[str]:
    """Return the models of runs whose release is still to be published, by id."""
    uris = [one.record.model_uri or "" for one in _waiting()]
    return {found for uri in uris if (found := logged_model_id(uri))}


def _waiting() -> list[RunFolder]:
    records = settings.runs_root().glob("*/*/run.json")
    folders = [run_folders.read(path.parent) for path in records]
    return [one for one in folders if one.record.awaits_publication]


def _files(conf: RetentionConf, keep: Needed) -> Iterator[Leftover]:
    for run in old_runs.old_runs(conf.artifact_days, _waiting_runs(), keep):
        if size := old_runs.bytes_of(run):
            yield Leftover(FILES, str(run.info.run_id), size)


def _waiting_runs() -> set[str]:
    return {one.record.mlflow_run_id for one in _waiting() if one.record.mlflow_run_id}


def _empty_run(mlflow_run_id: str, conf: RetentionConf, keep: Needed) -> bool:
    if not old_runs.may_be_emptied(mlflow_run_id, conf.artifact_days, _waiting_runs(), keep):
        return False
    old_runs.empty(mlflow_run_id)
    return True


def _logged_models() -> "list[LoggedModel]":
    experiments = [tracking.experiment_id()]
    return all_pages(
        lambda page_token: tracking.client().search_logged_models(
            experiments, page_token=page_token
        )
    )


def _is_version(model: "LoggedModel", keep: Needed) -> bool:
    return model.model_id in keep.logged_models or keep.has_place(model.artifact_location)


def _remove_model(model_id: str, keep: Needed) -> bool:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    model = tracking.client().get_logged_model(model_id)
    if _is_version(model, keep):
        return False
    get_artifact_repository(model.artifact_location).delete_artifacts()
    tracking.client().delete_logged_model(model_id)
    return True


def _bytes_of_model(model: "LoggedModel") -> int:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    files = get_artifact_repository(model.artifact_location).list_artifacts()
    return sum(int(file.file_size or 0) for file in files)


def _folder(kind: str, path: Path) -> Leftover:
    files = [file for file in path.rglob("*") if file.is_file()]
    return Leftover(kind, str(path), sum(file.stat().st_size for file in files))


def _file(kind: str, path: Path) -> Leftover:
    return Leftover(kind, str(path), path.stat().st_size)


def _is_old(path: Path, days: float) -> bool:
    """Return whether nothing in a folder was written for so many days."""
    try:
        newest = max(one.stat().st_mtime for one in (path, *path.rglob("*")))
    except FileNotFoundError:
        # Somebody is working on it.
        return False
    return time.time() - newest > days * DAY


# What the registry needs is asked anew: somebody may have registered it since it was found.
_REMOVERS: dict[str, Callable[[str, RetentionConf], bool]] = {
    RUNS: lambda place, conf: _remove_part(Path(place), conf, needed()),
    MODELS: lambda place, _: _remove_model(place, needed()),
    FILES: lambda place, conf: _empty_run(place, conf, needed()),
    REPORTS: lambda place, _: _remove_report(Path(place), needed()),
    CELLS: lambda place, _: _remove_folder(Path(place)),
    ENSEMBLES: lambda place, conf: old_files.remove_ensemble(
        Path(place), conf.artifact_days, needed()
    ),
    LOCKS: lambda place, _: removed_if_free(Path(place)),
    HALVES: lambda place, _: _remove_half(Path(place)),
}
