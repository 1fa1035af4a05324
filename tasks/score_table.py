"""The scores of a report as a table for a terminal."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lopt.evaluation import Report, Score
    from lopt.evaluation.choices import Choice

MEASURE = "area"
MARKS = {"better": "+", "worse": "-", "undecided": "="}
LEGEND = (
    "Mean over the steps of log10(loss / first loss), lower is better; after ± half the width of "
    "the 95 % interval over seeds. + ours is better beyond the interval, - ours is worse, "
    "= undecided. !n: n trajectories diverged."
)


@dataclasses.dataclass(frozen=True)
class ScoreTable:
    """A heading and rows of text; the first column says which target."""

    heading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def score_table(report: "Report", ours: str) -> ScoreTable:
    """Return ours against every other optimizer, for each target and on the average.

    Baselines have their best single rate over all targets; the last row gives them the best
    rate of each target. With one rate for all there is nothing to choose, and one mean.
    """
    from lopt.evaluation.choices import DEFAULT, SINGLE, TUNED

    others = [name for name in report.optimizers if name != ours]
    there = {gap.choice for gap in report.differences(ours, MEASURE)}
    means = [choice for choice in (SINGLE, TUNED) if choice in there] or [DEFAULT]
    rows = [_row(report, ours, others, target, means[0]) for target in report.targets]
    rows += [_row(report, ours, others, "mean", choice) for choice in means]
    return ScoreTable(("target", ours, *others), tuple(rows))


def _row(
    report: "Report", ours: str, others: Sequence[str], target: str, choice: "Choice"
) -> tuple[str, ...]:
    from lopt.evaluation.choices import DEFAULT

    asked = {choice, DEFAULT}
    scores = {
        (one.optimizer, one.target): one for one in report.scores(MEASURE) if one.choice in asked
    }
    gaps = {
        (gap.other, gap.target): gap
        for gap in report.differences(ours, MEASURE)
        if gap.choice in asked
    }
    cells = [
        f"{_number(scores[other, target])} {MARKS[gaps[other, target].verdict]}" for other in others
    ]
    name = f"mean ({choice})" if target == "mean" else target
    return (name, _number(scores[ours, target]), *cells)


def _number(score: "Score") -> str:
    from lopt.evaluation.texts import end_mark

    diverged = f" !{score.diverged}" if score.diverged else ""
    return f"{score.value:.2f} ±{(score.high - score.low) / 2:.2f}{end_mark(score)}{diverged}"
