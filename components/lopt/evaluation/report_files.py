"""A report on disk: a directory of Parquet files and a `report.json` that vouches for them."""

import dataclasses
import hashlib
import json
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lopt.evaluation.cell import Cell
from lopt.evaluation.report_tables import cells_from_tables, curves_table, finals_table
from lopt.evaluation.scores import Score

FORMAT = 1
CURVES, FINALS, SCORES = "curves.parquet", "finals.parquet", "scores.parquet"
FILES = (CURVES, FINALS, SCORES)
MANIFEST = "report.json"


class ReportError(Exception):
    """A report that cannot be made, written or believed; the message says why and what to do."""


def write_directory(
    directory: Path,
    cells: Sequence[Cell],
    scores: Sequence[Score],
    facts: Mapping[str, str],
    digest: str,
) -> Path:
    """Write all files aside, then rename; see `Report.write`.

    **Example**

    ```python
    write_directory(Path("report"), report.cells, scores, report.facts, report.digest)
    ```
    """
    if directory.exists():
        return _same_report(directory, digest)
    aside = directory.with_name(f".{directory.name}.{uuid.uuid4().hex}")
    aside.mkdir(parents=True)
    try:
        _write_tables(aside, cells, scores)
        _write_manifest(aside, facts, digest)
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


def read_directory(directory: Path) -> tuple[tuple[Cell, ...], dict[str, str], str]:
    """Return the cells, the facts and the stated digest of a report; see `Report.read`.

    **Example**

    ```python
    cells, facts, digest = read_directory(Path("report"))
    ```
    """
    import pandas as pd

    manifest = _read_manifest(directory)
    for name in FILES:
        if _file_digest(directory / name) != manifest["files"].get(name):
            raise ReportError(f"{directory / name} is not what was written. Make the report again.")
    curves, finals = pd.read_parquet(directory / CURVES), pd.read_parquet(directory / FINALS)
    return cells_from_tables(curves, finals), manifest["facts"], manifest["digest"]


def _same_report(directory: Path, digest: str) -> Path:
    there = read_directory(directory)[2] if (directory / MANIFEST).exists() else None
    if there == digest:
        return directory
    raise ReportError(
        f"{directory} exists and holds {'another report' if there else 'something else'}, which "
        f"is not overwritten. Choose a new directory."
    )


def _write_tables(directory: Path, cells: Sequence[Cell], scores: Sequence[Score]) -> None:
    import pandas as pd

    score_rows = pd.DataFrame([dataclasses.asdict(score) for score in scores])
    tables = {CURVES: curves_table(cells), FINALS: finals_table(cells), SCORES: score_rows}
    for name, table in tables.items():
        table.to_parquet(directory / name, compression="zstd", index=False)


def _write_manifest(directory: Path, facts: Mapping[str, str], digest: str) -> None:
    files = {name: _file_digest(directory / name) for name in FILES}
    manifest = {"format": FORMAT, "digest": digest, "facts": dict(facts), "files": files}
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
    expected = {"format", "digest", "facts", "files"}
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
