"""The scores of a report as people read them: a table, and what it says in a sentence or two."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lopt.evaluation import Difference, Report, Score
    from lopt.evaluation.choices import Choice

MEASURE = "area"
SINGLE: Final = "best single rate"
TUNED: Final = "best rate per target"
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
    """Return ours against every baseline, for each target and on the average.

    Baselines have their best single rate over all targets; the last row gives them the best
    rate of each target.
    """
    others = [name for name in report.optimizers if name != ours]
    rows = [_row(report, ours, others, target, SINGLE) for target in report.targets]
    rows.append(_row(report, ours, others, "mean", SINGLE))
    rows.append(_row(report, ours, others, "mean", TUNED))
    return ScoreTable(("target", ours, *others), tuple(rows))


def held_out_difference(report: "Report", ours: str, other: str, choice: str) -> "Difference":
    """Return by how much ours differs from another on the mean of the held-out draws."""
    held_out = report.only("held_out/")
    return next(
        one
        for one in held_out.differences(ours, MEASURE)
        if (one.other, one.choice, one.target) == (other, choice, "mean")
    )


def verdict(report: "Report", ours: str) -> list[str]:
    """Say how ours compares with each baseline, and on which targets it loses."""
    others = [name for name in report.optimizers if name != ours]
    return [*(_sentence(report, ours, other) for other in others), *_losses(report, ours)]


def gap_text(gap: "Difference") -> str:
    """Write a difference with its interval."""
    return f"{gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})"


def _row(
    report: "Report", ours: str, others: Sequence[str], target: str, choice: "Choice"
) -> tuple[str, ...]:
    scores = {(one.optimizer, one.choice, one.target): one for one in report.scores(MEASURE)}
    gaps = {(g.other, g.choice, g.target): g for g in report.differences(ours, MEASURE)}
    mine = next(one for key, one in scores.items() if key[0] == ours and key[2] == target)
    cells = [
        f"{_number(scores[other, choice, target])} {MARKS[gaps[other, choice, target].verdict]}"
        for other in others
    ]
    name = f"mean ({choice})" if target == "mean" else target
    return (name, _number(mine), *cells)


def _number(score: "Score") -> str:
    diverged = f" !{score.diverged}" if score.diverged else ""
    return f"{score.value:.2f} ±{(score.high - score.low) / 2:.2f}{diverged}"


def _sentence(report: "Report", ours: str, other: str) -> str:
    gaps = [held_out_difference(report, ours, other, choice) for choice in (SINGLE, TUNED)]
    parts = [f"{gap.verdict} at its {gap.choice}, {gap_text(gap)}" for gap in gaps]
    return f"Ours against {other} on the held-out draws: {'; '.join(parts)}."


def _losses(report: "Report", ours: str) -> list[str]:
    worse: dict[str, list[str]] = {}
    for gap in report.differences(ours, MEASURE):
        if gap.verdict == "worse" and gap.choice == TUNED and gap.target != "mean":
            worse.setdefault(gap.other, []).append(f"{gap.target} ({gap.value:+.2f})")
    return [
        f"Ours loses to {other} at the best rate per target on: {', '.join(targets)}."
        for other, targets in worse.items()
    ]
