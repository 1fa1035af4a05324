"""Files that flows leave and make again when they want them: ensembles, and locks of nights."""

import time
from collections.abc import Iterator
from pathlib import Path

from tasks import run_folders, settings
from tasks.needed import Needed
from tasks.references import short

DAY = 86_400.0


def old_ensembles(days: float, keep: Needed) -> Iterator[Path]:
    """Yield ensembles that nobody has drawn for so many days, and that are no longer trained on.

    Whoever wants one draws it, and so makes its file new. What the run of an alias was trained on
    stays, as its checkpoints do.
    """
    wanted = _trained_on(keep)
    for path in sorted(settings.ensembles_root().glob("*.parquet")):
        if path.stem.rpartition("-")[2] not in wanted and _is_old(path, days):
            yield path


def old_locks(days: float) -> Iterator[Path]:
    """Yield locks of nights that began so many days ago, whether they are held or not."""
    for path in sorted(settings.nights_root().glob("*.lock")):
        if _is_old(path, days):
            yield path


def remove_ensemble(path: Path, days: float, keep: Needed) -> bool:
    """Remove an ensemble unless it was drawn again or is trained on by now; whether it is gone."""
    if path not in old_ensembles(days, keep):
        return False
    path.unlink()
    return True


def _is_old(path: Path, days: float) -> bool:
    return time.time() - path.stat().st_mtime > days * DAY


def _trained_on(keep: Needed) -> set[str]:
    """Return the digests, as file names have them, of runs of aliases and of unfinished ones."""
    roots = (settings.runs_root(), settings.figure_runs_root())
    runs = [run_folders.read(one.parent) for root in roots for one in root.glob("*/*/run.json")]
    return {
        short(run.record.ensemble_digest)
        for run in runs
        if not run.finished or run.record.mlflow_run_id in keep.of_aliases
    }
