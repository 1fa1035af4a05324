"""A report on disk: a directory of Parquet files and a `report.json` that vouches for them."""

import dataclasses
import hashlib
import json
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lopt.evaluation.cell import Cell
from lopt.evaluation.divergence import Divergence
from lopt.evaluation.failures import Failure
from lopt.evaluation.reaching import Reaching
from lopt.evaluation.report_tables import (
    cells_from_tables,
    curves_table,
    finals_table,
    rows_table,
    times_table,
)
from lopt.evaluation.robustness import RateScore
from lopt.evaluation.scores import Difference, Score

FORMAT = 2
CURVES, FINALS, TIMES = "curves.parquet", "finals.parquet", "times.parquet"
"""What was measured."""
SCORES, DIFFERENCES = "scores.parquet", "differences.parquet"
REACHINGS, DIVERGENCES = "reachings.parquet", "divergences.parquet"
"""What follows from it."""
FILES = (CURVES, FINALS, TIMES, SCORES, DIFFERENCES, REACHINGS, DIVERGENCES)
ROBUSTNESS = "robustness.parquet"
"""Where optimizers began at all rates on some target."""
MANIFEST = "report.json"


Row = Score | Difference | Reaching | Divergence | RateScore
Tables = Mapping[str, Sequence[Row]]
"""The rows of each file of what follows from what was measured."""


class ReportError(Exception):
    """A report that cannot be made, written or believed; the message says why and what to do."""


class Contents(NamedTuple):
    """What a report's directory holds beside what follows from it."""

    cells: tuple[Cell, ...]
    facts: Mapping[str, str]
    failures: tuple[Failure, ...]
    digest: str


def write_directory(directory: Path, contents: Contents, tables: Tables) -> Path:
    """Write all files aside, then rename; see `Report.write`.

    **Example**

    ```python
    write_directory(Path("report"), Contents(cells, facts, (), digest), {SCORES: scores, ...})
    ```
    """
    digest = contents.digest
    if directory.exists():
        return _same_report(directory, digest)
    aside = directory.with_name(f".{directory.name}.{uuid.uuid4().hex}")
    aside.mkdir(parents=True)
    try:
        _write_tables(aside, contents.cells, tables)
        _write_manifest(aside, contents, _files(ROBUSTNESS in tables))
        return _renamed(aside, directory, digest)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _renamed(aside: Path, directory: Path, digest: str) -> Path:
    try:
        return aside.rename(directory)
    except OSError:
        # Another process may have written it meanwhile.
        if not directory.exists():
            raise
        return _same_report(directory, digest)


def read_directory(directory: Path) -> Contents:
    """Return what a report's directory holds, with the digest that it states; see `Report.read`.

    **Example**

    ```python
    cells, facts, failures, digest = read_directory(Path("report"))
    ```
    """
    import pandas as pd

    manifest = _read_manifest(directory)
    for name in _files(ROBUSTNESS in manifest["files"]):
        if _file_digest(directory / name) != manifest["files"].get(name):
            raise ReportError(f"{directory / name} is not what was written. Make the report again.")
    tables = [pd.read_parquet(directory / name) for name in (CURVES, FINALS, TIMES)]
    failures = tuple(Failure(**failure) for failure in manifest["failures"])
    return Contents(cells_from_tables(*tables), manifest["facts"], failures, manifest["digest"])


def _files(with_robustness: bool) -> tuple[str, ...]:
    return (*FILES, ROBUSTNESS) if with_robustness else FILES


def _same_report(directory: Path, digest: str) -> Path:
    there = read_directory(directory).digest if (directory / MANIFEST).exists() else None
    if there == digest:
        return directory
    raise ReportError(
        f"{directory} exists and holds {'another report' if there else 'something else'}, which "
        f"is not overwritten. Choose a new directory."
    )


def _write_tables(directory: Path, cells: Sequence[Cell], tables: Tables) -> None:
    measured = {
        CURVES: curves_table(cells),
        FINALS: finals_table(cells),
        TIMES: times_table(cells),
    }
    following = {name: rows_table(rows) for name, rows in tables.items()}
    for name, table in {**measured, **following}.items():
        table.to_parquet(directory / name, compression="zstd", index=False)


def _write_manifest(directory: Path, contents: Contents, files: Sequence[str]) -> None:
    manifest = {
        "format": FORMAT,
        "digest": contents.digest,
        "facts": dict(contents.facts),
        "failures": [dataclasses.asdict(failure) for failure in contents.failures],
        "files": {name: _file_digest(directory / name) for name in files},
    }
    text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    (directory / MANIFEST).write_text(text, encoding="utf-8")


def _read_manifest(directory: Path) -> dict[str, Any]:
    path = directory / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ReportError(f"{directory} is no report: it has no {MANIFEST}.") from error
    except ValueError as error:
        raise ReportError(f"{path} is not JSON ({error}). Make the report again.") from error
    expected = {"format", "digest", "facts", "failures", "files"}
    if not isinstance(manifest, dict) or set(manifest) != expected:
        raise ReportError(f"{path} must have the keys {', '.join(sorted(expected))} and no others.")
    if manifest["format"] != FORMAT:
        raise ReportError(
            f"{path} is of format {manifest['format']!r}, but this lopt reads {FORMAT}. Read it "
            f"with the lopt that made it, or make it again."
        )
    return manifest


def _file_digest(path: Path) -> str:
    if not path.is_file():
        raise ReportError(f"{path} is missing. Make the report again.")
    return hashlib.sha256(path.read_bytes()).hexdigest()
