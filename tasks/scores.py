"""What MLflow and Prefect are told about an evaluation."""

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task
from prefect.artifacts import create_markdown_artifact

from tasks import tracking
from tasks.cell_orders import OURS
from tasks.references import ReportReference
from tasks.score_page import score_page
from tasks.score_table import MEASURE

if TYPE_CHECKING:
    from lopt.evaluation import Report


@task(name="log-report")
def log_report(mlflow_run_id: str, reference: ReportReference) -> None:
    """Log scores as metrics, tables and plots as artifacts; show the page in Prefect."""
    from lopt.evaluation import Report
    from lopt.evaluation.plots import write_plots

    directory = Path(reference.directory)
    report = Report.read(directory)
    page = score_page(report, OURS)
    tracking.log_metrics(mlflow_run_id, [(0, metrics(report))])
    tracking.log_files(mlflow_run_id, sorted(directory.iterdir()), "report")
    tracking.client().log_text(mlflow_run_id, page, "report/scores.md")
    with tempfile.TemporaryDirectory() as plots:
        tracking.log_files(mlflow_run_id, write_plots(report, Path(plots)), "plots")
    create_markdown_artifact(page, key="scores", description="Scores of all optimizers")


def metrics(report: "Report") -> dict[str, float]:
    """Return all scores and differences under names that MLflow takes."""
    scores = {
        _key(measure, one.target, one.optimizer, one.choice): one.value
        for measure in report.measures
        for one in report.scores(measure)
    }
    gaps = {
        _key("difference", gap.target, gap.other, gap.choice): gap.value
        for gap in report.differences(OURS, MEASURE)
    }
    return scores | gaps


def _key(measure: str, target: str, optimizer: str, choice: str) -> str:
    return f"evaluation/{measure}/{target}/{metric_name(optimizer)}/{metric_name(choice)}"


def metric_name(text: str) -> str:
    """Return a name as MLflow takes it: small letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower())
