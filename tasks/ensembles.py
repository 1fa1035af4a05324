"""Drawing ensembles."""

from pathlib import Path
from typing import Any

from prefect import task

from tasks import settings
from tasks.confs import EnsembleConf
from tasks.references import EnsembleReference
from tasks.yaml_files import read_yaml

CHARACTERS_OF_DIGEST = 16


def read_entries(conf: EnsembleConf) -> Any:
    """Return the entries that the conf names, unchecked.

    Raises `YamlError` for a file that cannot be read, `ValueError` for one without entries.
    """
    path = Path(conf.entries)
    content = read_yaml(path if path.is_file() else settings.REPOSITORY / path)
    if not isinstance(content, dict) or list(content) != ["entries"]:
        raise ValueError(f"{path}: has to hold the one key 'entries', a list")
    return content["entries"]


@task(name="draw-ensemble", task_run_name="draw-ensemble-s{conf.seed}")
def draw_ensemble(conf: EnsembleConf) -> EnsembleReference:
    """Draw the ensemble of a conf; the file's name is its content, so drawing twice is once."""
    from lopt import ensembles

    drawn = ensembles.draw_ensemble(read_entries(conf), conf.seed)
    stem = Path(conf.entries).stem
    path = settings.ensembles_root() / f"{stem}-{drawn.digest[:CHARACTERS_OF_DIGEST]}.parquet"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn.write(path)
    return EnsembleReference(
        path=str(path),
        digest=drawn.digest,
        entries=len(drawn.rows),
        programs=len({row.program for row in drawn.rows}),
    )
