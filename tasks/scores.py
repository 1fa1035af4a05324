"""What MLflow and Prefect are told about an evaluation."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task
from prefect.artifacts import create_markdown_artifact

from tasks import code_version, tags, tracking
from tasks.references import ReportReference
from tasks.score_page import score_page
from tasks.score_table import MEASURE

if TYPE_CHECKING:
    from lopt.evaluation import Report

FOLDER = "report"
PAGE = f"{FOLDER}/report.html"
METRICS_OF_A_BATCH = 500


@task(name="log-report")
def log_report(mlflow_run_id: str, reference: ReportReference) -> None:
    """Log scores as metrics, pages, tables and plots as artifacts; show the tables in Prefect."""
    from lopt.evaluation import Report
    from lopt.evaluation.page import report_page
    from lopt.evaluation.plots import write_plots

    directory = Path(reference.directory)
    report = Report.read(directory)
    markdown = score_page(report)
    tracking.log_metrics(mlflow_run_id, list(_batches(metrics(report))))
    tracking.log_files(mlflow_run_id, sorted(directory.iterdir()), FOLDER)
    tracking.client().log_text(mlflow_run_id, markdown, f"{FOLDER}/scores.md")
    tracking.client().log_text(
        mlflow_run_id, report_page(report, code_version.circumstances()), PAGE
    )
    with tempfile.TemporaryDirectory() as plots:
        tracking.log_files(mlflow_run_id, write_plots(report, Path(plots)), "plots")
    # Last, for by these a report is looked for.
    tracking.set_tags(mlflow_run_id, {tags.REPORT: report.digest, **_releases(report)})
    create_markdown_artifact(markdown, key="scores", description="Scores of all optimizers")


def metrics(report: "Report") -> dict[str, float]:
    """Return all scores, differences and robustness under names that MLflow takes.

    Of several learned optimizers each has differences under its own name.
    """
    scores = {
        _key(measure, one.target, one.optimizer, one.choice): one.value
        for measure in report.measures
        for one in report.scores(measure)
    }
    gaps = {
        _key(_difference(report, ours), gap.target, gap.other, gap.choice): gap.value
        for ours in report.ours
        for gap in report.differences(ours, MEASURE)
    }
    return scores | gaps | _robustness(report)


def _robustness(report: "Report") -> dict[str, float]:
    from lopt.evaluation.robustness import over_rates

    rows = over_rates(report.from_all_rates)
    return {
        _key(MEASURE, row.target, row.optimizer, what): value
        for row in rows
        for what, value in (("mean over rates", row.mean), ("worst rate", row.worst.score))
    }


def _difference(report: "Report", ours: str) -> str:
    return "difference" if len(report.ours) == 1 else f"difference/{metric_name(ours)}"


def _batches(values: dict[str, float]) -> Iterator[tuple[int, dict[str, float]]]:
    """Divide the metrics of one step, of which MLflow takes a thousand at once."""
    names = list(values)
    for first in range(0, len(names), METRICS_OF_A_BATCH):
        yield 0, {name: values[name] for name in names[first : first + METRICS_OF_A_BATCH]}


def _releases(report: "Report") -> dict[str, str]:
    """Return as tags which releases a report is of, by which it is found again."""
    return {
        f"{tags.RELEASE}{number}": report.facts.get(
            f"{ours}/release", report.facts.get("release", "")
        )
        for number, ours in enumerate(report.ours)
    }


def _key(measure: str, target: str, optimizer: str, choice: str) -> str:
    # Of streamed images a target's name has an @, which MLflow takes in no metric's name.
    target = re.sub(r"[^\w./-]", "_", target)
    return f"evaluation/{measure}/{target}/{metric_name(optimizer)}/{metric_name(choice)}"


def metric_name(text: str) -> str:
    """Return a name as MLflow takes it: small letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower())
