"""The last screen of a cycle: the scores, what was published, and what to type next."""

import sys
from pathlib import Path

from rich.table import Table

from tasks import settings, terminal, tracking
from tasks.evaluation import OURS
from tasks.references import ModelVersionReference, ReportReference
from tasks.score_table import LEGEND, ScoreTable, score_table, verdict


def show_scores(reference: ReportReference) -> None:
    """Print the table of scores and what it says."""
    from lopt.evaluation import Report

    report = Report.read(Path(reference.directory))
    console = terminal.console()
    console.print(_rich(score_table(report, OURS)))
    console.print(LEGEND, style="dim", highlight=False)
    for line in verdict(report, OURS):
        terminal.say(f"* {line}")


def show_version(version: ModelVersionReference) -> None:
    """Print the model version, and the lines to look at everything and to use the optimizer."""
    store = f"--backend-store-uri {settings.tracking_uri()}"
    lines = [
        "",
        f"Published: {version.name} version {version.version}, alias {version.alias}",
        "",
        "Look at the runs, the curves and the model:",
        f"  {_program('mlflow')} server {store} --host 127.0.0.1 --port 5000 --workers 1",
        f"  http://127.0.0.1:5000/#/experiments/{tracking.experiment_id()}/runs"
        # Without this MLflow shows its pages for language models.
        "?workflowType=machine_learning",
        "Look at the flows:",
        f"  PREFECT_HOME={settings.prefect_home()} {_program('prefect')} server start",
        "  http://127.0.0.1:4200/runs",
        "Use the optimizer, with `pip install lopt[mlflow]`:",
        f"  export MLFLOW_TRACKING_URI={settings.tracking_uri()}",
        f'  optimizer = lopt.load("{version.uri}").transformation()  # for optax.adam(1e-3)',
    ]
    for line in lines:
        terminal.say(line)


def _program(name: str) -> str:
    """Return how to call a program of this environment from this folder."""
    path = Path(sys.executable).parent / name
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _rich(table: ScoreTable) -> Table:
    shown = Table(title="Scores", title_justify="left")
    for index, name in enumerate(table.heading):
        shown.add_column(name, justify="left" if index == 0 else "right", no_wrap=True)
    for row in table.rows:
        shown.add_row(*row, style="bold" if row[0].startswith("mean") else None)
    return shown
