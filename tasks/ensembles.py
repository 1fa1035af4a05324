"""Drawing ensembles."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task

from tasks import settings, terminal
from tasks.confs import EnsembleConf
from tasks.ensemble_data import training_images
from tasks.references import EnsembleReference, short
from tasks.yaml_files import read_yaml

if TYPE_CHECKING:
    from lopt.ensembles import Ensemble, Group, Row


def read_entries(conf: EnsembleConf) -> list[Any]:
    """Return the entries that the conf names, unchecked.

    The file holds `entries`, a list, or `sets`, the names of files in the folder `sets` beside
    it, or both. A set says to which category its entries belong; its name goes with them.

    Raises `YamlError` for a file that cannot be read, `ValueError` for one of another form.
    """
    path = Path(conf.entries)
    path = path if path.is_file() else settings.REPOSITORY / path
    content = _mapping(path, required=(), optional=("sets", "entries"))
    names = content.get("sets", [])
    from_sets = [entry for name in names for entry in _read_set(path, name)]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{path}: sets: {name!r} is there more than once; allowed: each once")
    return [*from_sets, *content.get("entries", [])]


def _read_set(ensemble: Path, name: Any) -> list[Any]:
    folder = ensemble.parent / "sets"
    known = sorted(file.stem for file in folder.glob("*.yaml"))
    if name not in known:
        raise ValueError(f"{ensemble}: sets: {name!r} is none; allowed: {', '.join(known)}")
    path = folder / f"{name}.yaml"
    content = _mapping(path, required=("category", "entries"), optional=())
    return [
        {"category": content["category"], "problem_set": name, **entry}
        if isinstance(entry, dict)
        else entry
        for entry in content["entries"]
    ]


def _mapping(path: Path, required: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, Any]:
    content = read_yaml(path)
    allowed = " and ".join(required) or f"{' or '.join(optional)}, or both"
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path}: has to hold {allowed}, but is {content!r}")
    for key in content:
        if key not in (*required, *optional):
            raise ValueError(
                f"{path}: {key}: unknown key with the value {content[key]!r}; allowed: {allowed}"
            )
    for key in required:
        if key not in content:
            raise ValueError(f"{path}: {key} is missing; given: {', '.join(content)}")
    for key in ("sets", "entries"):
        if not isinstance(content.get(key, []), list):
            raise ValueError(f"{path}: {key} has to be a list, but is {content[key]!r}")
    mapping: dict[str, Any] = content
    return mapping


@task(name="draw-ensemble", task_run_name="draw-ensemble-s{conf.seed}")
def draw_ensemble(conf: EnsembleConf) -> EnsembleReference:
    """Draw the ensemble of a conf; the file's name is its content, so drawing twice is once.

    The data sets that its specs name have to be prepared.
    """
    from lopt import ensembles
    from lopt.problems.named_data_sets import named_data_sets

    entries = read_entries(conf)
    data_sets = training_images(named_data_sets(entries))
    drawn = ensembles.draw_ensemble(entries, conf.seed, data_sets)
    stem = Path(conf.entries).stem
    path = settings.ensembles_root() / f"{stem}-{short(drawn.digest)}.parquet"
    _name_if_damaged(path)
    # Whatever is there already: a damaged file is mended by drawing again.
    drawn.write(path)
    return EnsembleReference(
        path=str(path),
        digest=drawn.digest,
        entries=len(drawn.rows),
        programs=len({row.program for row in drawn.rows}),
    )


def _name_if_damaged(path: Path) -> None:
    from lopt.ensembles import Ensemble, EnsembleError

    if path.exists():
        try:
            Ensemble.read(path)
        except EnsembleError as error:
            terminal.warn(f"damaged, and drawn again: {error}")


# Building the problems takes seconds, and every segment needs them.
@functools.lru_cache(maxsize=2)
def groups_of(ensemble: EnsembleReference) -> tuple["Group", ...]:
    """Return the problems of a drawn ensemble, stacked by program, for whoever draws them anew.

    Of constants that this replaces there are only zeros.
    """
    read = _read(ensemble)
    return read.groups(training_images(read.data_sets), to_be_drawn=True)


def built_groups_of(rows: "tuple[Row, ...]") -> tuple["Group", ...]:
    """Return the problems of some rows with the constants that they have, stacked by program."""
    from lopt.ensembles import Ensemble

    ensemble = Ensemble(rows)
    return ensemble.groups(training_images(ensemble.data_sets))


def _read(ensemble: EnsembleReference) -> "Ensemble":
    from lopt.ensembles import Ensemble, EnsembleError

    read = Ensemble.read(Path(ensemble.path))
    if read.digest != ensemble.digest:
        raise EnsembleError(
            f"{ensemble.path} was {ensemble.digest} when it was drawn, and is {read.digest} now. "
            "Draw it again."
        )
    return read
