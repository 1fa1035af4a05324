"""The last screen of a cycle: the scores, what was published, and what to type next."""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tasks import settings, terminal, tracking, tracking_store
from tasks.confs import DEFAULTS, EnsembleConf
from tasks.references import (
    FigureReference,
    ModelVersionReference,
    ReleaseReference,
    ReportReference,
)
from tasks.score_screen import fitting
from tasks.score_table import LEGEND, score_table

if TYPE_CHECKING:
    from tasks.gate import Decision


def show_scores(reference: ReportReference) -> None:
    """Print the table of scores and what it says; of several releases, against the first."""
    from lopt.evaluation import Report
    from lopt.evaluation.words import missing, summary, sweep_ends, tuning, verdicts

    report = Report.read(Path(reference.directory))
    console = terminal.console()
    for part in fitting(score_table(report, report.ours[0]), console):
        console.print(part)
    terminal.paragraph(LEGEND, "dim")
    terminal.paragraph(" ".join([tuning(report), *sweep_ends(report)]))
    for line in [*missing(report), *summary(report), *verdicts(report)]:
        terminal.paragraph(f"* {line}")


def show_version(version: ModelVersionReference) -> None:
    """Print the model version, and the lines to look at everything and to use the optimizer."""
    clone = shlex.quote(f"{settings.REPOSITORY}[mlflow]")
    lines = [
        "",
        f"Published: {version.name} version {version.version}, alias {version.alias}",
        "",
        "Look at the runs, the curves and the model:",
        *_mlflow_lines("runs?workflowType=machine_learning"),
        "Look at the flows:",
        *_prefect_lines(),
        f"Use the optimizer in an environment of yours, after pip install {clone}:",
        f"  export MLFLOW_TRACKING_URI={shlex.quote(settings.tracking_place())}",
        f'  optimizer = lopt.load("{version.uri}").transformation()  # for optax.adam(1e-3)',
    ]
    for line in lines:
        terminal.say(line)


def show_release(release: ReleaseReference, ensemble: EnsembleConf) -> None:
    """Print the lines to look at a meta-training, to use what it made, and what comes next."""
    python, directory = _program("python"), shlex.quote(release.directory)
    of_the_same = f" --set {shlex.quote(f'ensemble.entries={ensemble.entries}')}"
    like_it = "" if ensemble.entries == DEFAULTS.ensemble.entries else of_the_same
    lines = [
        "",
        "Look at its curves:",
        *_mlflow_lines(f"runs/{release.mlflow_run_id}"),
        "Use the optimizer:",
        f"  optimizer = lopt.load({release.directory!r}).transformation()",
        "Compare it with tuned ones, and put it into the registry:",
        f"  {python} -m flows.evaluate_release --release {directory}{like_it}",
        f"  {python} -m flows.publish_release --release {directory}",
    ]
    for line in lines:
        terminal.say(line)


def show_decision(decision: "Decision") -> None:
    """Print what became of a challenger and why, and how to look at it."""
    terminal.say("")
    terminal.paragraph(decision.words)
    for reason in decision.reasons:
        terminal.paragraph(f"* {reason}")
    version = decision.version
    terminal.say("Look at it:")
    for line in _mlflow_lines("runs?workflowType=machine_learning"):
        terminal.say(line)
    terminal.say(f'  lopt.load("models:/{version.name}/{version.version}")')


def show_figure(mlflow_run_id: str, figure: FigureReference) -> None:
    """Print the main numbers of a figure, and where it, its page and its data are."""
    terminal.console().print(_numbers(figure))
    terminal.paragraph(figure.caption, "dim")
    show_page(mlflow_run_id, f"figure/{Path(figure.page).name}")
    terminal.say(f"Picture: {figure.picture}")
    for table in figure.tables:
        terminal.say(f"Data:    {table}")
    terminal.say(f"Page:    {figure.page}")


def show_page(mlflow_run_id: str, file: str) -> None:
    """Print the lines to look at a file that a run has logged."""
    terminal.say(f"Look at {file}:")
    for line in _mlflow_lines(f"runs/{mlflow_run_id}/artifacts/{file}"):
        terminal.say(line)


def _numbers(figure: FigureReference) -> Table:
    table = Table(*figure.columns, box=SIMPLE_HEAD)
    for row in figure.rows:
        table.add_row(*row)
    return table


def _mlflow_lines(place: str) -> list[str]:
    """Return how to start MLflow's server, unless there is one, and where a page of it is."""
    store = settings.tracking_place()
    try:
        with tracking_store.without_patience():
            experiment = tracking.experiment_id()
    except tracking_store.TrackingError as error:
        # Whatever was to be done is done, and does not fail for want of an address.
        return [f"  {error}"]
    except Exception as error:
        if not tracking_store.is_away(error):
            raise
        return [f"  {store} does not answer now"]
    # Without the workflow MLflow shows its pages for language models.
    page = f"/#/experiments/{experiment}/{place}"
    if store.startswith("http"):
        return [f"  {store.rstrip('/')}{page}"]
    server = f"{_program('mlflow')} server --backend-store-uri {shlex.quote(store)}"
    return [
        f"  MLFLOW_DISABLE_TELEMETRY=true {server} --host 127.0.0.1 --port 5000 --workers 1",
        f"  http://127.0.0.1:5000{page}",
    ]


def _prefect_lines() -> list[str]:
    """Return the same for Prefect."""
    if api := os.environ.get("PREFECT_API_URL"):
        return [f"  {api.removesuffix('/api')}/runs"]
    # Its newer user interface calls hosts outside at every page.
    quiet = "PREFECT_SERVER_UI_V2_ENABLED=false PREFECT_SERVER_ANALYTICS_ENABLED=false"
    home = shlex.quote(str(settings.prefect_home()))
    return [
        f"  PREFECT_HOME={home} {quiet} {_program('prefect')} server start --host 127.0.0.1",
        "  http://127.0.0.1:4200/runs",
    ]


def _program(name: str) -> str:
    """Return how to call a program of this environment from this folder."""
    path = Path(sys.executable).parent / name
    short = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return shlex.quote(str(short))
