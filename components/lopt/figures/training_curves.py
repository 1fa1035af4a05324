"""Loss against inner step, a panel for each target: the paper's figures 2, 3 and 4."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from lopt.evaluation.loss_curves import LossCurve, loss_curves, said_of_ends
from lopt.evaluation.measures import FINAL
from lopt.evaluation.plots import plot_curve
from lopt.evaluation.report import Report
from lopt.evaluation.report_tables import curves_table, finals_table
from lopt.evaluation.tables import score_table
from lopt.figures.drawn import Drawn
from lopt.figures.panels import legend_below, panel_title, panels, plain_logarithms

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NO_WORDS: Mapping[str, str] = {}
CAPTION = (
    "Loss relative to the first one, cut off at 1e-6 below and 100 above, against the inner "
    "step. Lines are medians over {seeds} seeds, bands reach from the first to the third "
    "quartile. Every optimizer gets the same problems, first params and minibatches. The table "
    "has log10(loss / first loss) after the last step, mean over seeds with its 95 % bootstrap "
    "interval; lower is better."
)
MARKED = " The dotted line is the longest trajectory that {names} was meta-trained on."


def training_curves(
    report: Report,
    title: str,
    words: Mapping[str, str] = NO_WORDS,
    longest: Mapping[str, int] | None = None,
) -> Drawn:
    """Draw a panel for each target of the report, a line for each optimizer at one rate.

    That is its only learning rate, or the best single one over the targets. `words` are what
    panels are called beside the target's name; `longest` are the inner steps of the longest
    trajectory in an optimizer's meta-training, by its name.

    **Example**

    ```python
    drawn = training_curves(report, "Three problems", longest={"coordinatewise RNN": 100})
    ```
    """
    figure, axes = panels(len(report.targets))
    for panel, target in zip(axes, report.targets, strict=True):
        curves = list(curves_at_one_rate(report, target))
        for curve in curves:
            plot_curve(panel, curve._replace(ours=curve.label == report.ours[0]))
        for name, steps in (longest or {}).items():
            panel.axvline(
                steps,
                color="#555555",
                linestyle=":",
                linewidth=1.2,
                label=f"longest meta-training of {name}: {steps} steps",
            )
        label_panel(panel, target, words)
    figure.suptitle(title)
    legend_below(figure)
    marked = MARKED.format(names=" and ".join(longest)) if longest else ""
    return Drawn(
        title=title,
        caption=CAPTION.format(seeds=report.cells[0].seeds) + marked + _ends(curves),
        figure=figure,
        tables={"curves": curves_table(report.cells), "finals": finals_table(report.cells)},
        summary=score_table(report.scores(FINAL)),
    )


def _ends(curves: Sequence[LossCurve]) -> str:
    # The rates are the same in every panel.
    said = said_of_ends(curves)
    return said and f" {said}."


def curves_at_one_rate(report: Report, target: str) -> Iterator[LossCurve]:
    """Yield one curve an optimizer; a baseline that has one rate only is labelled with it.

    **Example**

    ```python
    labels = [curve.label for curve in curves_at_one_rate(report, "digits/mlp")]
    ```
    """
    for curve in loss_curves(report, target):
        optimizer = report.optimizers[curve.number]
        (rate, *others) = report.of(optimizer)[0].learning_rates
        if not curve.second:
            fixed = not (others or curve.ours)
            yield curve._replace(label=f"{optimizer}, {rate:g}" if fixed else curve.label)


def label_panel(axes: "Axes", target: str, words: Mapping[str, str]) -> None:
    """Give a panel of losses its title and its axes.

    **Example**

    ```python
    label_panel(axes, "digits/mlp-relu", {"digits/mlp-relu": "another activation"})
    ```
    """
    axes.set_title(panel_title(target, words), fontsize="medium")
    plain_logarithms(axes)
    axes.set_xlabel("inner step")
    axes.set_ylabel("loss / initial loss")
    axes.grid(visible=True, alpha=0.3)
