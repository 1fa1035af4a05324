"""The interactive plot of scores against initial learning rates, by plotly."""

from typing import TYPE_CHECKING

import numpy as np

from lopt.evaluation.interactive import band, blank_figure, line_style
from lopt.evaluation.rate_curves import RateCurve, rate_curves
from lopt.evaluation.rate_plots import X_LABEL, Y_LABEL
from lopt.evaluation.report import Report

if TYPE_CHECKING:
    import plotly.graph_objects as go


def rates_plot(report: Report, target: str) -> "go.Figure":
    """Plot what `rates_figure` does.

    **Example**

    ```python
    rates_plot(report, "initial_rates/digits/mlp").show()
    ```
    """
    seeds = report.cells[0].seeds
    figure = blank_figure(f"{target}: mean and 95 % interval of {seeds} seeds")
    for curve in rate_curves(report, target):
        figure.add_traces(_traces(curve))
    figure.update_xaxes(title=X_LABEL, type="log", exponentformat="power", dtick=1)
    figure.update_yaxes(title=Y_LABEL)
    return figure


def _traces(curve: RateCurve) -> "list[go.Scatter]":
    """Return a curve and its band, which the legend hides and shows together."""
    import plotly.graph_objects as go

    style = line_style(curve.number) | ({"width": 4} if curve.ours else {})
    opacity = 0.2 if curve.ours else 0.07
    line = go.Scatter(
        x=curve.rates,
        y=curve.scores,
        name=curve.label,
        legendgroup=curve.label,
        line=style,
        mode="lines+markers",
        marker={
            "symbol": np.where(curve.diverged, "x", "circle").tolist(),
            "size": np.where(curve.diverged, 11, 6).tolist(),
        },
        text=np.where(curve.diverged, ", some diverged", "").tolist(),
        hovertemplate="%{x:g}: %{y:.3f}%{text}",
    )
    shown = band(curve.rates, curve.low, curve.high, curve.label, style["color"], opacity)
    return [shown, line]
