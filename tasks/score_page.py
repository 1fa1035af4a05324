"""A report as a page of Markdown, for MLflow and for Prefect."""

from typing import TYPE_CHECKING

from tasks.score_table import MEASURE

if TYPE_CHECKING:
    from lopt.evaluation import Report
    from lopt.evaluation.tables import Table

SOON = (
    "Medians over the seeds of the steps and seconds to Adam's final loss, Adam being at its best "
    "rate for the target and seeds being paired; in brackets how many seeds ever reach it."
)


def score_page(report: "Report") -> str:
    """Return what the report says, first in sentences, then as tables of all scores."""
    from lopt.evaluation.overview import overview_table
    from lopt.evaluation.robustness import over_rates, robustness
    from lopt.evaluation.tables import (
        difference_table,
        divergence_table,
        reaching_table,
        robustness_table,
        score_table,
    )
    from lopt.evaluation.words import ROBUSTNESS, missing, summary, sweep_ends, tuning, verdicts

    parts = [
        " ".join([tuning(report), *sweep_ends(report)]),
        _list([*missing(report), *summary(report)]),
        "## All targets together",
        markdown_table(overview_table(report)),
        _list(verdicts(report)),
        "## Scores",
        "Mean over the steps of log10(loss / first loss), lower is better.",
        markdown_table(score_table(report.scores(MEASURE))),
    ]
    for ours in report.ours:
        differences = difference_table(report.differences(ours, MEASURE))
        parts += [f"## {ours} minus the others", markdown_table(differences)]
    if rows := report.reachings():
        parts += ["## Reaching Adam's final loss", SOON, markdown_table(reaching_table(rows))]
    parts += ["## Divergence", markdown_table(divergence_table(report.divergences()))]
    if cells := report.from_all_rates:
        table = robustness_table(robustness(cells), over_rates(cells))
        parts += ["## Robustness over initial learning rates", ROBUSTNESS, markdown_table(table)]
    for measure in report.measures[1:]:
        parts += [f"## {measure}", markdown_table(score_table(report.scores(measure)))]
    return "\n\n".join(parts) + "\n"


def _list(lines: list[str]) -> str:
    return "\n".join(f"* {line}" for line in lines)


def markdown_table(table: "Table") -> str:
    """Return a table as Markdown has it."""
    rows = [table.columns, ("---",) * len(table.columns), *table.rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
