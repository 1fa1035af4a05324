"""How much an optimizer minds at which learning rate it begins: the paper's figure 5."""

from collections.abc import Mapping, Sequence

from lopt.evaluation.cell import Cell
from lopt.evaluation.measures import CEILING
from lopt.evaluation.rate_curves import rate_curve
from lopt.evaluation.rate_plots import label_rates, plot_rates
from lopt.evaluation.report_tables import curves_table, rows_table
from lopt.evaluation.robustness import RateScore, robustness
from lopt.evaluation.tables import Table
from lopt.figures.drawn import Drawn
from lopt.figures.panels import legend_below, panel_title, panels
from lopt.figures.training_curves import NO_WORDS

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
            mine = [row for row in rows if (row.target, row.optimizer) == (target, optimizer)]
            plot_rates(panel, rate_curve(mine, number, ours=number == 0))
        label_rates(panel)
        panel.set_title(panel_title(target, words), fontsize="medium")
    figure.suptitle(title)
    legend_below(figure)
    return Drawn(
        title=title,
        caption=CAPTION.format(ceiling=CEILING, seeds=cells[0].seeds),
        figure=figure,
        tables={"robustness": rows_table(rows), "curves": curves_table(cells)},
        summary=_summary(rows),
    )


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
