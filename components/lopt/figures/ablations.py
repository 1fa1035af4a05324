"""What each feature of a rule is worth: the paper's figure 6."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lopt.evaluation.choices import choices
from lopt.evaluation.colours import COLOURS
from lopt.evaluation.measures import AREA
from lopt.evaluation.plots import plot_curve
from lopt.evaluation.report import Report
from lopt.evaluation.report_tables import curves_table, finals_table, rows_table
from lopt.evaluation.scores import MEAN, Difference
from lopt.evaluation.tables import Table
from lopt.evaluation.texts import interval_text
from lopt.figures.drawn import Drawn
from lopt.figures.panels import legend_below, panels
from lopt.figures.training_curves import NO_WORDS, curves_at_one_rate, label_panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HELD_OUT = "held_out/"
FULL_COLOUR, BASELINE_COLOUR = "#000000", "#999999"
VARIANT_COLOURS = (*COLOURS[:-1], "#8B5A2B")
"""Of all but the full rule: the palette without its black, and a brown."""
CAPTION = (
    "Left: loss relative to the first one on {target}, cut off at 1e-6 below and 100 above. Lines "
    "are medians over {seeds} seeds, bands reach from the first to the third quartile, and what "
    "was not meta-trained is grey. Right: by how much the mean over steps of log10(loss / first "
    "loss) of each is above that of {full}, paired by seed, with 95 % bootstrap intervals; to the "
    "right of the line is worse. Each was meta-trained anew, with the same budget, problems and "
    "seed: one meta-training each, whose own scatter is in no interval."
)


def ablations(report: Report, full: str, title: str, words: Mapping[str, str] = NO_WORDS) -> Drawn:
    """Draw the curves of all variants on the first target, and what each loses on all of them.

    `full` is the variant that the others are compared with. Targets whose names begin with
    "held_out/" are put together.

    Raises `ReportError` if `full` is not in the report or has several learning rates.

    **Example**

    ```python
    drawn = ablations(report, "full", "Ablations")
    ```
    """
    losses = list(_losses(report, full))
    figure, (left, right) = panels(2, width=6.2, height=4.4)
    colours = _colours(report, full)
    for curve in curves_at_one_rate(report, report.targets[0]):
        optimizer = report.optimizers[curve.number]
        plot_curve(left, curve._replace(ours=optimizer == full), colours[optimizer])
    label_panel(left, report.targets[0], words)
    _plot_losses(right, losses, full)
    figure.suptitle(title)
    legend_below(figure)
    return Drawn(
        title=title,
        caption=CAPTION.format(target=report.targets[0], seeds=report.cells[0].seeds, full=full),
        figure=figure,
        tables={
            "curves": curves_table(report.cells),
            "finals": finals_table(report.cells),
            "differences": rows_table(losses),
        },
        summary=_summary(losses, full),
    )


def _colours(report: Report, full: str) -> dict[str, str]:
    others = [name for name in report.ours if name != full]
    of_variants = dict(zip(others, itertools.cycle(VARIANT_COLOURS), strict=False))
    baselines = dict.fromkeys(set(report.optimizers) - set(report.ours), BASELINE_COLOUR)
    return {**baselines, **of_variants, full: FULL_COLOUR}


def _losses(report: Report, full: str) -> Iterator[Difference]:
    """Yield the differences full - other on each target alone and on the held-out ones together."""
    for target in report.targets:
        if not target.startswith(HELD_OUT):
            # Not by `only`, for one target's name may begin as another's does.
            cells = tuple(cell for cell in report.cells if cell.target == target)
            yield from _of(dataclasses.replace(report, cells=cells), full, target)
    if any(target.startswith(HELD_OUT) for target in report.targets):
        yield from _of(report.only(HELD_OUT), full, HELD_OUT.rstrip("/"))


def _of(report: Report, full: str, name: str) -> Iterator[Difference]:
    for one in report.differences(full, AREA):
        # Where there are several choices of a rate, the first is the single one.
        if one.target == MEAN and one.choice == _first_choice(report, one.other):
            yield dataclasses.replace(one, target=name)


def _first_choice(report: Report, optimizer: str) -> str:
    return choices(report.of(optimizer))[0]


def _plot_losses(axes: "Axes", losses: Sequence[Difference], full: str) -> None:
    others = list(dict.fromkeys(one.other for one in losses))
    targets = list(dict.fromkeys(one.target for one in losses))
    for number, target in enumerate(targets):
        mine = [one for one in losses if one.target == target]
        # full - other, turned round: above zero the other is worse.
        middle, low, high = np.array([(-one.value, -one.high, -one.low) for one in mine]).T
        axes.errorbar(
            middle,
            np.arange(len(others)) + 0.18 * (number - (len(targets) - 1) / 2),
            xerr=[middle - low, high - middle],
            fmt="osD^v"[number % 5],
            color="#000000" if number == 0 else "#888888",
            capsize=3,
            markersize=5,
            label=f"right: {target}",
        )
    axes.axvline(0.0, color="#888888", linestyle=":", zorder=0)
    axes.set_yticks(range(len(others)), others)
    axes.invert_yaxis()
    axes.set_title(f"compared with {full}, paired by seed", fontsize="medium")
    axes.set_xlabel(f"mean log10(loss / initial loss), minus that of {full}\n(above 0: worse)")
    axes.grid(visible=True, axis="x", alpha=0.3)


def _summary(losses: Sequence[Difference], full: str) -> Table:
    targets = list(dict.fromkeys(one.target for one in losses))
    others = list(dict.fromkeys(one.other for one in losses))
    turned = {
        (one.other, one.target): interval_text(
            dataclasses.replace(one, value=-one.value, low=-one.high, high=-one.low)
        )
        for one in losses
    }
    rows = tuple((other, *(turned[other, target] for target in targets)) for other in others)
    return Table(("variant", *(f"{target}, minus {full}" for target in targets)), rows)
