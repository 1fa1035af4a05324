"""A ruling in words and tables, for Prefect's artifacts and for the model card of a version."""

from typing import TYPE_CHECKING

from tasks.score_page import markdown_table

if TYPE_CHECKING:
    from lopt.evaluation.gate import Ruling
    from lopt.evaluation.tables import Table


def ruling_page(ruling: "Ruling", outcome: str) -> str:
    """Return what was decided, why, and by which numbers, as Markdown."""
    ours, theirs = ruling.diverged
    parts = [
        outcome,
        "\n".join(f"* {line}" for line in [ruling.words, *ruling.reasons]),
        markdown_table(ruling_table(ruling)),
        f"Area of {ruling.challenger} minus that of {ruling.champion}: mean over the steps of "
        "log10(loss / first loss), less being better, paired by seed, with 95 % bootstrap "
        f"intervals. On a target {ruling.tolerance:g} more are tolerated. Of "
        f"{ruling.trajectories} trajectories each, {ours} and {theirs} diverged.",
    ]
    return "\n\n".join(parts) + "\n"


def ruling_table(ruling: "Ruling") -> "Table":
    """Return a row for each target, the mean of all first."""
    from lopt.evaluation.tables import Table

    rows = tuple(
        (gap.target, f"{gap.value:+.3f}", f"{gap.low:+.3f} to {gap.high:+.3f}", gap.verdict)
        for gap in (ruling.mean, *ruling.targets)
    )
    return Table(("target", "difference", "95 % interval", "challenger is"), rows)
