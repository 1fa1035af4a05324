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
ONLY: Final = "default rate"
"""What an optimizer has that was given one learning rate: its best single one and its best per
target are both this."""
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
    rate of each target. With one rate for all there is nothing to choose, and one mean.
    """
    others = [name for name in report.optimizers if name != ours]
    there = {gap.choice for gap in report.differences(ours, MEASURE)}
    means = [choice for choice in (SINGLE, TUNED) if choice in there] or [ONLY]
    rows = [_row(report, ours, others, target, means[0]) for target in report.targets]
    rows += [_row(report, ours, others, "mean", choice) for choice in means]
    return ScoreTable(("target", ours, *others), tuple(rows))


def held_out_difference(report: "Report", ours: str, other: str, choice: str) -> "Difference":
    """Return by how much ours differs from another on the mean of the held-out draws."""
    held_out = report.only("held_out/")
    return next(
        one
        for one in held_out.differences(ours, MEASURE)
        if (one.other, one.target) == (other, "mean") and one.choice in {choice, ONLY}
    )


def verdict(report: "Report", ours: str) -> list[str]:
    """Say how ours compares with each baseline, and on which targets it loses."""
    others = [name for name in report.optimizers if name != ours]
    return [*(_sentence(report, ours, other) for other in others), *_losses(report, ours)]


def tuning(report: "Report", ours: str) -> str:
    """Say in words what was tuned: never ours, and the others on what they are scored on."""
    rates = report.of(ours)[0].learning_rates
    swept = {len(cells[0].learning_rates) for cells in map(report.of, report.optimizers)} - {1}
    rate = f"its default initial learning rate, {rates[0]:g}, on every target"
    line = f"Ours was not tuned: it has {rate}."
    if not swept:
        return f"{line} Neither were the others: each had one learning rate."
    return (
        f"{line} The others were: each has the best of its {_counts(swept)} learning rates, chosen "
        "on the very trajectories that are scored here, which favours them."
    )


def gap_text(gap: "Difference") -> str:
    """Write a difference with its interval."""
    return f"{gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})"


def _counts(numbers: set[int]) -> str:
    return " or ".join(map(str, sorted(numbers)))


def _row(
    report: "Report", ours: str, others: Sequence[str], target: str, choice: "Choice"
) -> tuple[str, ...]:
    asked = {choice, ONLY}
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
    diverged = f" !{score.diverged}" if score.diverged else ""
    return f"{score.value:.2f} ±{(score.high - score.low) / 2:.2f}{diverged}"


def _sentence(report: "Report", ours: str, other: str) -> str:
    gaps = [held_out_difference(report, ours, other, choice) for choice in (SINGLE, TUNED)]
    parts = [f"{gap.verdict} at its {gap.choice}, {gap_text(gap)}" for gap in dict.fromkeys(gaps)]
    return f"Ours against {other} on the held-out draws: {'; '.join(parts)}."


def _losses(report: "Report", ours: str) -> list[str]:
    worse: dict[tuple[str, str], list[str]] = {}
    for gap in report.differences(ours, MEASURE):
        if gap.verdict == "worse" and gap.choice in {TUNED, ONLY} and gap.target != "mean":
            found = worse.setdefault((gap.other, gap.choice), [])
            found.append(f"{gap.target} ({gap.value:+.2f})")
    return [
        f"Ours loses to {other} at the {choice} on: {', '.join(targets)}."
        for (other, choice), targets in worse.items()
    ]
