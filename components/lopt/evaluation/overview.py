"""All optimizers at a glance: what is said of each on all targets together."""

from collections.abc import Sequence

from lopt.evaluation.measures import AREA, REFERENCE, SPEED_UP, SPEED_UP_IN_SECONDS
from lopt.evaluation.report import Report
from lopt.evaluation.scores import MEAN, Score
from lopt.evaluation.tables import Table, reaching_table
from lopt.evaluation.texts import difference_text, interval_text, name, part_text, rate_text


def overview_table(report: Report) -> Table:
    """Return a row for each optimizer and choice of rate, with what is said of all targets.

    Speed-ups are geometric means. Columns of which nothing is known are left out.

    **Example**

    ```python
    overview_table(report).columns  # ("optimizer", "speed-up over Adam, steps", ...)
    ```
    """
    areas = [score for score in report.scores(AREA) if score.target == MEAN]
    columns = {
        "optimizer": [name(score) + rate_text(score) for score in areas],
        f"speed-up over {REFERENCE}, steps": _means(report, SPEED_UP, areas),
        f"speed-up over {REFERENCE}, seconds": _means(report, SPEED_UP_IN_SECONDS, areas),
        f"at {REFERENCE}'s final loss": _reached(report, areas),
        "area": [interval_text(score) for score in areas],
        **{f"{ours} against it": _against(report, ours, areas) for ours in report.ours},
        "diverged": [part_text(score.diverged, score.trajectories) for score in areas],
    }
    kept = {column: cells for column, cells in columns.items() if any(cells)}
    return Table(tuple(kept), tuple(zip(*kept.values(), strict=True)))


def _means(report: Report, measure: str, areas: Sequence[Score]) -> list[str]:
    scores = report.scores(measure) if measure in report.measures else ()
    means = {name(one): interval_text(one) for one in scores if one.target == MEAN}
    return [means.get(name(score), "") for score in areas]


def _reached(report: Report, areas: Sequence[Score]) -> list[str]:
    rows = report.reachings()
    if not rows:
        return []
    table = reaching_table(rows)
    totals = dict(zip(table.columns, table.rows[-1], strict=True))
    return [totals[name(score)] for score in areas]


def _against(report: Report, ours: str, areas: Sequence[Score]) -> list[str]:
    gaps = {
        (gap.other, gap.choice): difference_text(gap)
        for gap in report.differences(ours, AREA)
        if gap.target == MEAN
    }
    return [gaps.get((score.optimizer, score.choice), "") for score in areas]
