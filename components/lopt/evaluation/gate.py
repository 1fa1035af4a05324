"""Whether a challenger may take the champion's place: decided by numbers, each of which is told."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from lopt.evaluation.measures import AREA
from lopt.evaluation.report import Report
from lopt.evaluation.robustness import is_from_all_rates
from lopt.evaluation.scores import MEAN, Difference
from lopt.evaluation.words import gap_text


@dataclasses.dataclass(frozen=True)
class Ruling:
    """What was compared, and why the challenger is not let through, if it is not."""

    challenger: str
    champion: str
    tolerance: float
    mean: Difference
    """Challenger minus champion, over all targets."""
    targets: tuple[Difference, ...]
    """The same of each target."""
    diverged: tuple[int, int]
    """Trajectories of the challenger and of the champion that have."""
    trajectories: int
    """Of either."""
    reasons: tuple[str, ...]
    """Why it is refused, a sentence for every number that speaks against it."""

    @property
    def promoted(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons

    @property
    def words(self) -> str:
        """The ruling in a sentence."""
        where = f"{gap_text(self.mean)} on the mean of {len(self.targets)} targets"
        said = "is better than" if self.promoted else "is refused against"
        return f"{self.challenger} {said} {self.champion}: {where}."


def rule(report: Report, challenger: str, champion: str, tolerance: float) -> Ruling:
    """Return whether the challenger may take the champion's place, by the area, paired by seed.

    It may if the mean over the targets is lower beyond its 95 % bootstrap interval, no target's
    own mean is higher by more than `tolerance` (decades of loss, averaged over the steps), no
    more of its trajectories diverge, and both were measured on every target: one on which the
    challenger could not be computed is left out of the report, and might be its worst.
    Raises `ReportError` if one of them is not in the report, or has several learning rates.

    **Example**

    ```python
    ruling = rule(merged({"new": one, "old": other}), "new", "old", tolerance=0.1)
    print(ruling.promoted, *ruling.reasons)
    ```
    """
    gaps = [gap for gap in report.differences(challenger, AREA) if gap.other == champion]
    ours, theirs = (_diverged(report, name) for name in (challenger, champion))
    ruling = Ruling(
        challenger=challenger,
        champion=champion,
        tolerance=tolerance,
        mean=next(gap for gap in gaps if gap.target == MEAN),
        targets=tuple(gap for gap in gaps if gap.target != MEAN),
        diverged=(ours, theirs),
        trajectories=sum(cell.diverged.size for cell in report.of(challenger)),
        reasons=(),
    )
    return dataclasses.replace(ruling, reasons=(*_reasons(ruling), *_missing(report, ruling)))


def _reasons(ruling: Ruling) -> Iterator[str]:
    if ruling.mean.verdict != "better":
        yield (
            f"It is not better beyond the interval: {gap_text(ruling.mean)} on the mean over the "
            "targets, where less is better."
        )
    for gap in ruling.targets:
        # Not `>`: what is no number is not let through.
        if not gap.value <= ruling.tolerance:
            yield (
                f"It is worse on {gap.target}: {gap_text(gap)}, where {ruling.tolerance:g} is "
                "tolerated."
            )
    ours, theirs = ruling.diverged
    if ours > theirs:
        yield (
            f"{ours} of its {ruling.trajectories} trajectories diverge, and {theirs} of the "
            "champion's."
        )


def _missing(report: Report, ruling: Ruling) -> Iterator[str]:
    compared = {ruling.challenger, ruling.champion}
    for failure in report.failures:
        # Robustness over initial learning rates is told, and ruled by in nothing.
        if is_from_all_rates(failure.target):
            continue
        if failure.optimizer in compared or failure.target not in report.targets:
            yield (
                f"{failure.target} is not compared on: {failure.optimizer} could not be measured "
                f"({failure.reason})."
            )


def _diverged(report: Report, name: str) -> int:
    return sum(int(np.sum(cell.diverged)) for cell in report.of(name))
