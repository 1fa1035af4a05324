"""How much an optimizer minds at which learning rate it begins: the paper's figure 5."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lopt.evaluation.cell import Cell
from lopt.evaluation.measures import CEILING
from lopt.evaluation.plots import COLOURS
from lopt.evaluation.report_tables import curves_table
from lopt.evaluation.robustness import RateScore, robustness
from lopt.evaluation.tables import Table
from lopt.figures.drawn import Drawn
from lopt.figures.panels import legend_below, panel_title, panels
from lopt.figures.training_curves import NO_WORDS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

CAPTION = (
    "Mean over inner steps and seeds of log10(loss / first loss), from -6 to {ceiling:g} (what a "
    "diverged trajectory counts), against the learning rate: the initial one of a learned "
    "optimizer, that of the others. Lower is better, and a flat line minds nothing. Bands are "
    "95 % bootstrap intervals over {seeds} seeds; crosses are rates at which some have diverged."
)


def initial_rates(cells: Sequence[Cell], title: str, words: Mapping[str, str] = NO_WORDS) -> Drawn:
    """Draw a panel for each target: the score from every initial learning rate.

    Raises `ValueError` for an optimizer with one rate, of which there is nothing to draw.

    **Example**

    ```python
    from_everywhere = from_all_rates([learned(optimizer), *baselines()])
    drawn = initial_rates(tuple(evaluate([target], from_everywhere, 8, key)), "Robustness")
    ```
    """
    for cell in cells:
        if not cell.tuned:
            raise ValueError(
                f"{cell.optimizer!r} has the learning rate {cell.learning_rates[0]} only, but its "
                "robustness is to be drawn over several: evaluate it at more."
            )
    rows = robustness(cells)
    targets = list(dict.fromkeys(row.target for row in rows))
    optimizers = list(dict.fromkeys(row.optimizer for row in rows))
    figure, axes = panels(len(targets), width=6.0)
    for panel, target in zip(axes, targets, strict=True):
        for number, optimizer in enumerate(optimizers):
            _plot(
                panel, [r for r in rows if (r.target, r.optimizer) == (target, optimizer)], number
            )
        panel.set_title(panel_title(target, words), fontsize="medium")
        panel.set_xscale("log")
        panel.set_xlabel("initial learning rate")
        panel.set_ylabel("mean log10(loss / initial loss)")
        panel.grid(visible=True, alpha=0.3)
    figure.suptitle(title)
    legend_below(figure)
    return Drawn(
        title=title,
        caption=CAPTION.format(ceiling=CEILING, seeds=cells[0].seeds),
        figure=figure,
        tables={"robustness": _frame(rows), "curves": curves_table(cells)},
        summary=_summary(rows),
    )


def _plot(axes: "Axes", rows: Sequence[RateScore], number: int) -> None:
    ordered = sorted(rows, key=lambda row: row.learning_rate)
    rates, scores, low, high = np.array(
        [(row.learning_rate, row.score, row.low, row.high) for row in ordered]
    ).T
    colour = COLOURS[number % len(COLOURS)]
    first = number == 0
    axes.plot(
        rates, scores, "o-", color=colour, ms=4, lw=2.6 if first else 1.4, label=rows[0].optimizer
    )
    axes.fill_between(rates, low, high, color=colour, alpha=0.2 if first else 0.1, lw=0)
    lost = np.array([row.diverged > 0 for row in ordered])
    axes.plot(rates[lost], scores[lost], "x", color=colour, ms=11, mew=2.2)


def _frame(rows: Sequence[RateScore]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(rows, columns=RateScore._fields)


def _summary(rows: Sequence[RateScore]) -> Table:
    """Return for each optimizer on each target its best, its worst, and what it loses between."""
    lines = []
    for target, optimizer in dict.fromkeys((row.target, row.optimizer) for row in rows):
        mine = [row for row in rows if (row.target, row.optimizer) == (target, optimizer)]
        best = min(mine, key=lambda row: row.score)
        worst = max(mine, key=lambda row: row.score)
        lines.append(
            (
                target,
                optimizer,
                f"{best.score:.3f} at {best.learning_rate:g}",
                f"{worst.score:.3f} at {worst.learning_rate:g}",
                f"{worst.score - best.score:.3f}",
                str(sum(row.diverged for row in mine)),
            )
        )
    columns = ("target", "optimizer", "best", "worst", "worst - best", "trajectories diverged")
    return Table(columns, tuple(lines))
