"""Drawing ensembles."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task

from tasks import settings
from tasks.confs import EnsembleConf
from tasks.references import EnsembleReference, short
from tasks.yaml_files import read_yaml

if TYPE_CHECKING:
    from lopt.ensembles import Group


def read_entries(conf: EnsembleConf) -> Any:
    """Return the entries that the conf names, unchecked.

    Raises `YamlError` for a file that cannot be read, `ValueError` for one without entries.
    """
    path = Path(conf.entries)
    content = read_yaml(path if path.is_file() else settings.REPOSITORY / path)
    if not isinstance(content, dict) or list(content) != ["entries"]:
        raise ValueError(f"{path}: has to hold the one key 'entries', a list")
    entries = content["entries"]
    if not isinstance(entries, list):
        raise ValueError(f"{path}: entries has to be a list, but is {entries!r}")
    return entries


@task(name="draw-ensemble", task_run_name="draw-ensemble-s{conf.seed}")
def draw_ensemble(conf: EnsembleConf) -> EnsembleReference:
    """Draw the ensemble of a conf; the file's name is its content, so drawing twice is once."""
    from lopt import ensembles

    drawn = ensembles.draw_ensemble(read_entries(conf), conf.seed)
    stem = Path(conf.entries).stem
    path = settings.ensembles_root() / f"{stem}-{short(drawn.digest)}.parquet"
    # Whatever is there already: a damaged file is mended by drawing again.
    drawn.write(path)
    return EnsembleReference(
        path=str(path),
        digest=drawn.digest,
        entries=len(drawn.rows),
        programs=len({row.program for row in drawn.rows}),
    )


# Building the problems takes seconds, and every segment needs them.
@functools.lru_cache(maxsize=2)
def groups_of(ensemble: EnsembleReference) -> tuple["Group", ...]:
    """Return the problems of a drawn ensemble, stacked by program."""
    from lopt.ensembles import Ensemble, EnsembleError

    read = Ensemble.read(Path(ensemble.path))
    if read.digest != ensemble.digest:
        raise EnsembleError(
            f"{ensemble.path} was {ensemble.digest} when it was drawn, and is {read.digest} now. "
            "Draw it again."
        )
    return read.groups()
