"""A report as a page of Markdown, for MLflow and for Prefect."""

from typing import TYPE_CHECKING

from tasks.score_table import MEASURE, tuning, verdict

if TYPE_CHECKING:
    from lopt.evaluation import Report
    from lopt.evaluation.tables import Table


def score_page(report: "Report", ours: str) -> str:
    """Return what the report says, first in sentences, then as tables of all scores."""
    from lopt.evaluation.tables import difference_table, score_table

    parts = [
        tuning(report, ours),
        "\n".join(f"* {line}" for line in verdict(report, ours)),
        "## Scores",
        "Mean over the steps of log10(loss / first loss), lower is better.",
        _markdown(score_table(report.scores(MEASURE))),
        f"## {ours} minus the others",
        _markdown(difference_table(report.differences(ours, MEASURE))),
    ]
    for measure in report.measures[1:]:
        parts += [f"## {measure}", _markdown(score_table(report.scores(measure)))]
    return "\n\n".join(parts) + "\n"


def _markdown(table: "Table") -> str:
    rows = [table.columns, ("---",) * len(table.columns), *table.rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
