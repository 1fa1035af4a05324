"""Plots of scores against initial learning rates, by matplotlib."""

from typing import TYPE_CHECKING

from lopt.evaluation.colours import colour_of, marker_of
from lopt.evaluation.rate_curves import RateCurve, rate_curves
from lopt.evaluation.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

X_LABEL = "initial learning rate"
Y_LABEL = "mean log10(loss / initial loss)"


def rates_figure(report: Report, target: str) -> "Figure":
    """Plot the score of each optimizer against the learning rate that it begins at.

    Bands are 95 % intervals; crosses are rates at which some seed has diverged.

    **Example**

    ```python
    rates_figure(report, "initial_rates/digits/mlp").savefig("robustness.png")
    ```
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for curve in rate_curves(report, target):
        plot_rates(axes, curve)
    label_rates(axes)
    axes.set_title(f"{target}\nmean and 95 % interval of {report.cells[0].seeds} seeds")
    figure.legend(loc="outside right upper", fontsize="small", frameon=False)
    return figure


def plot_rates(axes: "Axes", curve: RateCurve) -> None:
    """Draw one curve with its band, ours thicker, and crosses where some seed has diverged.

    **Example**

    ```python
    plot_rates(axes, rate_curve(robustness([cell]), 0, ours=True))
    ```
    """
    colour, ours = colour_of(curve.number), curve.ours
    (line,) = axes.plot(curve.rates, curve.scores, color=colour, label=curve.label)
    line.set(marker=marker_of(curve.number) or "o", markersize=4)
    # Markers of the second round are hollow, for the first one's lines have some here.
    line.set(markerfacecolor="white" if marker_of(curve.number) else colour)
    line.set(linewidth=2.6 if ours else 1.4, zorder=3 if ours else 2)
    alpha = 0.2 if ours else 0.1
    axes.fill_between(curve.rates, curve.low, curve.high, color=colour, alpha=alpha, lw=0)
    lost = curve.diverged
    axes.plot(curve.rates[lost], curve.scores[lost], "x", color=colour, ms=11, mew=2.2)


def label_rates(axes: "Axes") -> None:
    """Say what both axes hold, the rates being logarithmic.

    **Example**

    ```python
    label_rates(axes)
    ```
    """
    axes.set_xscale("log")
    axes.set_xlabel(X_LABEL)
    axes.set_ylabel(Y_LABEL)
    axes.grid(visible=True, alpha=0.3)
