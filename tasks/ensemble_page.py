"""What people get to see of a drawn ensemble: a page, its numbers, and a table of counts."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task
from prefect.artifacts import create_table_artifact
from rich.table import Table

from tasks import terminal, tracking
from tasks.confs import EnsembleConf
from tasks.ensembles import built_groups_of, groups_of
from tasks.references import EnsembleReference

if TYPE_CHECKING:
    from lopt.ensemble_report import Beginnings, Picture
    from lopt.ensembles import Group, Row

PAGE = "ensemble.html"


def steps_in_all(drawn: EnsembleReference) -> int:
    """Return how often `log_page` says how far it is: when all is built, measured, drawn."""
    return 1 + len({(row.family, row.program) for row in _rows(drawn)}) + 1


@task(name="log-ensemble-page")
def log_page(mlflow_run_id: str, conf: EnsembleConf, drawn: EnsembleReference) -> None:
    """Measure the first losses and gradients of an ensemble, and log them with the page.

    Raises `EnsembleError` before anything is logged if meta-training could not use some entry.
    """
    import jax

    from lopt import ensemble_report as report

    rows, groups = _rows(drawn), groups_of(drawn)
    terminal.reach(1, "built")
    key = jax.random.key(conf.seed)
    beginnings = list(_measured(rows, groups, key))
    report.check_usable(beginnings)
    in_the_plane = report.in_the_plane(beginnings)
    landscapes = report.survey(in_the_plane, built_groups_of(in_the_plane), key)
    pictures = report.draw_pictures(beginnings, landscapes)
    terminal.reach(steps_in_all(drawn), "drawn")
    facts = report.Facts(Path(conf.entries).stem, drawn.digest, conf.seed)
    page = report.ensemble_page(facts, beginnings, pictures)
    tracking.log_metrics(mlflow_run_id, [(0, metrics(rows))])
    tracking.client().log_text(mlflow_run_id, page, PAGE)
    _log_files(mlflow_run_id, beginnings, pictures)
    create_table_artifact(
        report.category_table(rows).to_dict("records"),
        key="ensemble",
        description=f"{drawn}; {PAGE} is an artifact of MLflow's run {mlflow_run_id}",
    )


def metrics(rows: "tuple[Row, ...]") -> dict[str, float]:
    """Return how many entries and programs there are, and how many entries of each category."""
    categories = [row.category for row in rows]
    counts = {f"ensemble/entries/{name}": categories.count(name) for name in categories}
    programs = len({row.program for row in rows})
    # Not "ensemble/entries", which as a file of MLflow's could not be a folder, too.
    counts |= {"ensemble/entries/all": len(rows), "ensemble/programs": programs}
    return {name: float(count) for name, count in counts.items()}


def show_counts(drawn: EnsembleReference) -> None:
    """Print how many entries and programs each category has."""
    from lopt.ensemble_report import category_table

    counts = category_table(_rows(drawn)).drop(columns="sets")
    shown = Table()
    for name in counts.columns:
        shown.add_column(name, justify="left" if name == "category" else "right")
    for row in counts.itertuples(index=False):
        shown.add_row(*row, style="bold" if row.category == "all" else None)
    terminal.console().print(shown)


def _rows(drawn: EnsembleReference) -> "tuple[Row, ...]":
    from lopt.ensembles import Ensemble

    return Ensemble.read(Path(drawn.path)).rows


def _measured(
    rows: "tuple[Row, ...]", groups: "tuple[Group, ...]", key: object
) -> "Iterator[Beginnings]":
    from lopt.ensemble_report import measure

    for number, beginnings in enumerate(measure(rows, groups, key), start=1):
        terminal.reach(1 + number, f"{beginnings[0].row.family} measured")
        yield from beginnings


def _log_files(
    mlflow_run_id: str, beginnings: "list[Beginnings]", pictures: "tuple[Picture, ...]"
) -> None:
    from lopt.ensemble_report import beginnings_table

    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "beginnings.parquet"
        beginnings_table(beginnings).to_parquet(table, compression="zstd", index=False)
        tracking.log_files(mlflow_run_id, [table])
        files = [Path(folder) / picture.name for picture in pictures]
        for file, picture in zip(files, pictures, strict=True):
            file.write_bytes(picture.png)
        tracking.log_files(mlflow_run_id, files, "plots")
