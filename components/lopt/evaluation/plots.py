"""Plots of a report: loss against step for each target, all scores, and speed-ups, at a glance.

matplotlib is imported inside the functions, and none of its global state is touched.
"""

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lopt.evaluation.colours import COLOURS, colour_of, marker_of
from lopt.evaluation.loss_curves import LossCurve, loss_curves, said_of_ends
from lopt.evaluation.measures import AREA, REFERENCE, SPEED_UP, SPEED_UP_IN_SECONDS, unit
from lopt.evaluation.rate_plots import rates_figure
from lopt.evaluation.report import Report
from lopt.evaluation.scores import MEAN, Score
from lopt.evaluation.texts import name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def write_plots(report: Report, directory: Path) -> tuple[Path, ...]:
    """Write a PNG for each target, one with all scores and one with the speed-ups over Adam.

    And one for each target on which optimizers begin at all rates: the scores against them.

    Returns where they are; without Adam there are no speed-ups.

    **Example**

    ```python
    for path in write_plots(report, Path("report_plots")):
        mlflow.log_artifact(str(path))
    ```
    """
    figures = {
        f"loss_{target.replace('/', '_')}.png": loss_figure(report, target)
        for target in report.targets
    }
    figures |= {
        f"{target.replace('/', '_')}.png": rates_figure(report, target)
        for target in report.robustness_targets
    }
    figures["scores.png"] = score_figure(report)
    if SPEED_UP in report.measures:
        figures["speed_up.png"] = speed_up_figure(report)
    directory.mkdir(parents=True, exist_ok=True)
    return tuple(_write(figure, directory / file) for file, figure in figures.items())


def loss_figure(report: Report, target: str) -> "Figure":
    """Plot the relative loss against the inner step, a colour for each optimizer.

    Solid lines are the default rate or the best single rate over the targets of the report,
    dashed ones the best rate for this target where that is another. Lines are medians over
    seeds, bands reach from the first to the third quartile. The axis holds what is scored:
    a relative loss of at least 1e-6 and at most 100, a diverged trajectory staying at 100.

    **Example**

    ```python
    loss_figure(report, "digits/mlp").savefig("digits_mlp.png")
    ```
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    curves = list(loss_curves(report, target))
    for curve in curves:
        plot_curve(axes, curve)
    axes.set_yscale("log")
    axes.set_xlabel("inner step")
    axes.set_ylabel("loss / initial loss")
    # In two lines: beside the legend there is no room for a long name.
    axes.set_title(f"{target}\nmedian and quartiles of {report.cells[0].seeds} seeds")
    axes.grid(visible=True, alpha=0.3)
    figure.legend(
        title=said_of_ends(curves),
        title_fontsize="small",
        loc="outside right upper",
        fontsize="small",
        frameon=False,
    )
    return figure


def score_figure(report: Report, measure: str = AREA) -> "Figure":
    """Draw a heat map of the scores, optimizers down, targets and their mean across.

    **Example**

    ```python
    score_figure(report, "test_accuracy").savefig("accuracy.png")
    ```
    """
    from matplotlib.figure import Figure

    scores = report.scores(measure)
    rows, columns = (
        list(dict.fromkeys(map(name, scores))),
        list(dict.fromkeys(score.target for score in scores)),
    )
    values = np.full((len(rows), len(columns)), np.nan)
    for score in scores:
        values[rows.index(name(score)), columns.index(score.target)] = score.value
    figure = Figure(
        figsize=(2.5 + 0.95 * len(columns), 1.8 + 0.42 * len(rows)), dpi=120, layout="constrained"
    )
    axes = figure.add_subplot()
    lower = scores[0].better == "lower"
    _heat_map(axes, values, rows, columns, unit(measure), lower=lower)
    axes.set_title(f"{measure}, {scores[0].better} is better; bold: best of the column")
    return figure


def speed_up_figure(report: Report) -> "Figure":
    """Plot each optimizer's geometric mean speed-up over Adam in steps, and in seconds if known.

    Bars are 95 % intervals; Adam at its best rate per target is 1.

    **Example**

    ```python
    speed_up_figure(report).savefig("speed_up.png")
    ```
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    measures = [one for one in (SPEED_UP, SPEED_UP_IN_SECONDS) if one in report.measures]
    means = {m: [one for one in report.scores(m) if one.target == MEAN] for m in measures}
    names = [name(score) for score in means[measures[0]]]
    figure = Figure(figsize=(8.0, 1.6 + 0.32 * len(names)), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for number, measure in enumerate(measures):
        _plot_intervals(axes, means[measure], number)
    axes.axvline(1.0, color="#888888", linestyle=":", zorder=0)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("times as fast, geometric mean over targets and seeds")
    axes.set_title(f"Speed-up over {REFERENCE} at its best rate per target")
    axes.grid(visible=True, axis="x", alpha=0.3)
    # Not among the intervals, which may be anywhere.
    figure.legend(loc="outside lower center", ncols=len(measures), fontsize="small")
    return figure


def _plot_intervals(axes: "Axes", means: Sequence[Score], number: int) -> None:
    middle, low, high = (
        np.array([2.0 ** getattr(score, part) for score in means])
        for part in ("value", "low", "high")
    )
    axes.errorbar(
        middle,
        np.arange(len(means)) + 0.15 * number,
        xerr=[middle - low, high - middle],
        fmt="os"[number],
        color=COLOURS[1 - number],
        capsize=3,
        label="in steps" if means[0].measure == SPEED_UP else "in seconds",
    )


def plot_curve(axes: "Axes", curve: LossCurve, colour: str | None = None) -> None:
    """Draw one curve with its band, ours thicker, dashed where it is at a second rate.

    Without a `colour` it has that of its optimizer's number, and a marker once all are used.

    **Example**

    ```python
    for curve in loss_curves(report, "digits/mlp"):
        plot_curve(axes, curve)
    ```
    """
    marker = marker_of(curve.number) if colour is None else ""
    colour = colour or colour_of(curve.number)
    style = "--" if curve.second else "-"
    (line,) = axes.plot(curve.steps, curve.middle, style, color=colour, label=curve.label)
    line.set(linewidth=2.8 if curve.ours else 1.4, zorder=3 if curve.ours else 2)
    line.set(marker=marker, markevery=0.1, markersize=4)
    if not curve.second:
        alpha = 0.2 if curve.ours else 0.08
        axes.fill_between(curve.steps, curve.low, curve.high, color=colour, alpha=alpha, lw=0)


def _heat_map(
    axes: "Axes",
    values: np.ndarray,
    rows: list[str],
    columns: list[str],
    label: str,
    *,
    lower: bool,
) -> None:
    finite = np.where(np.isfinite(values), values, np.nan)
    image = axes.imshow(finite, cmap="cividis_r" if lower else "cividis", aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), rows)
    best = (values.min if lower else values.max)(axis=0)
    for (row, column), value in np.ndenumerate(values):
        red, green, blue, _ = image.cmap(image.norm(finite[row, column]))
        luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
        axes.text(
            column,
            row,
            f"{value:.2f}",
            ha="center",
            va="center",
            color="black" if luminance > 0.45 else "white",
            weight="bold" if value == best[column] else "normal",
            fontsize="small",
        )
    axes.figure.colorbar(image, ax=axes, label=label)


def _write(figure: "Figure", path: Path) -> Path:
    aside = path.with_name(f".{uuid.uuid4().hex}.{path.name}")
    try:
        figure.savefig(aside)
        return aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
