"""A figure with the numbers that it is drawn of, and how both are written."""

import hashlib
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lopt.evaluation.tables import Table
from lopt.figures.page import figure_page

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class Drawn(NamedTuple):
    """A figure, what it shows, and the tables behind it."""

    title: str
    caption: str
    """What the axes, lines and bands are, in sentences."""
    figure: "Figure"
    tables: Mapping[str, "pd.DataFrame"]
    """One row for each number, by the name of the file without its suffix."""
    summary: Table
    """The few numbers that somebody would read off."""


class Written(NamedTuple):
    """Where a figure lies, and the SHA-256 (hexadecimal) of all its files."""

    directory: Path
    picture: Path
    page: Path
    tables: tuple[Path, ...]
    digest: str


def write(drawn: Drawn, root: Path, name: str, facts: Mapping[str, str]) -> Written:
    """Write a PNG, a Parquet file for each table and a page into a new folder `root/name-...`.

    The folder appears whole or not at all; the end of its name is a digest of all that is in
    it, so that nothing is overwritten and the same thing is written once. `facts` say on the
    page where the numbers came from.

    **Example**

    ```python
    written = write(drawn, Path("figures"), "figure_3", {"release": digest})
    written.picture  # figures/figure_3-0123456789abcdef/figure_3.png
    ```
    """
    aside = root / f".{name}.{uuid.uuid4().hex}"
    aside.mkdir(parents=True)
    try:
        _fill(aside, drawn, name, facts)
        digest = _digest(aside)
        directory = root / f"{name}-{digest[:16]}"
        if not directory.exists():
            aside.rename(directory)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Written(
        directory=directory,
        picture=directory / f"{name}.png",
        page=directory / f"{name}.html",
        tables=tuple(directory / f"{table}.parquet" for table in drawn.tables),
        digest=digest,
    )


def _fill(directory: Path, drawn: Drawn, name: str, facts: Mapping[str, str]) -> None:
    picture = directory / f"{name}.png"
    drawn.figure.savefig(picture)
    for table, frame in drawn.tables.items():
        frame.to_parquet(directory / f"{table}.parquet", index=False)
    page = figure_page(drawn.title, drawn.caption, picture.read_bytes(), drawn.summary, facts)
    (directory / f"{name}.html").write_text(page, encoding="utf-8")


def _digest(directory: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(directory.iterdir()):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
