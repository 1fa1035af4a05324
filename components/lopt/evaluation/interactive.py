"""Interactive plots of a report, by plotly, which is imported inside the functions.

Clicking a name of a legend hides its curve, twice shows it alone.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from lopt.evaluation.choices import choices, chosen
from lopt.evaluation.colours import COLOURS, colour_of
from lopt.evaluation.loss_curves import LossCurve, loss_curves
from lopt.evaluation.measures import REFERENCE, SPEED_UP, SPEED_UP_IN_SECONDS, unit
from lopt.evaluation.reaching import log_speed_up, references
from lopt.evaluation.report import Report
from lopt.evaluation.scores import MEAN, Score
from lopt.evaluation.texts import RATE, interval_text, name, part_text, rate_text, value_text

if TYPE_CHECKING:
    import plotly.graph_objects as go

DASHES = ("solid", "dot", "dashdot", "longdash")
"""What tells lines apart once the colours are used up."""
POINTS = 100
"""The recorded steps of a curve that are drawn, at most: a page holds many curves."""


def loss_plot(report: Report, target: str) -> "go.Figure":
    """Plot what `loss_figure` does: medians over seeds, bands between quartiles.

    Where all cells of the target were timed, a switch puts seconds on the axis.

    **Example**

    ```python
    loss_plot(report, "digits/mlp").show()
    ```
    """
    curves = [_thinned(curve) for curve in loss_curves(report, target)]
    figure = blank_figure(f"{target}: median and quartiles of {report.cells[0].seeds} seeds")
    for curve in curves:
        figure.add_traces(_traces(curve))
    figure.update_xaxes(title="inner step")
    figure.update_yaxes(title="loss / initial loss", type="log", exponentformat="power", dtick=1)
    if all(curve.seconds_per_step for curve in curves):
        figure.update_layout(updatemenus=[_axis_switch(curves)])
    return figure


def speed_up_plot(report: Report) -> "go.Figure":
    """Plot each optimizer's geometric mean speed-up over Adam, with its interval.

    **Example**

    ```python
    speed_up_plot(report).show()
    ```
    """
    figure = blank_figure(f"Speed-up over {REFERENCE} at its best rate per target")
    for measure, what in ((SPEED_UP, "in steps"), (SPEED_UP_IN_SECONDS, "in seconds")):
        if measure in report.measures:
            means = [score for score in report.scores(measure) if score.target == MEAN]
            figure.add_trace(_dots(means, what))
    figure.add_vline(x=1.0, line={"color": "#888", "dash": "dot"})
    figure.update_xaxes(title="times as fast, geometric mean over targets and seeds", type="log")
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(height=160 + 30 * len(figure.data[0].y))
    return figure


def profile_plot(report: Report) -> "go.Figure":
    """Plot in which part of all pairs of target and seed each optimizer is how fast or faster.

    That is a performance profile (Dolan and More 2002, https://arxiv.org/abs/cs/0102001):
    what a mean hides, such as a few targets that make all of it.

    **Example**

    ```python
    profile_plot(report).show()
    ```
    """
    figure = blank_figure(f"Pairs of a target and a seed by speed-up over {REFERENCE}, in steps")
    adam = references(report.compared)
    for number, optimizer in enumerate(report.optimizers):
        cells = report.of(optimizer)
        choice = choices(cells)[-1]
        pairs = [log_speed_up(cell, adam[cell.target])[0] for cell in chosen(cells, choice)]
        figure.add_trace(_steps(np.concatenate(pairs), optimizer + RATE[choice], number))
    figure.add_vline(x=1.0, line={"color": "#888", "dash": "dot"})
    figure.update_xaxes(title="at least so many times as fast", type="log")
    figure.update_yaxes(title="part of all pairs", range=[0, 1.02])
    return figure


def heat_map(report: Report) -> "go.Figure":
    """Draw the scores of every target and optimizer, a menu choosing the measure.

    Colours are of the ranks within a target: the brightest is the best there.

    **Example**

    ```python
    heat_map(report).show()
    ```
    """
    figure = blank_figure("")
    shown = (SPEED_UP, *(m for m in report.measures if m != SPEED_UP))
    names = [measure for measure in shown if measure in report.measures]
    for measure in names:
        figure.add_trace(_cells(report.scores(measure), visible=measure == names[0]))
    figure.update_layout(updatemenus=[_measure_menu(names)], margin={"t": 60})
    figure.update_layout(height=220 + 30 * (1 + len(report.targets)))
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(tickangle=35)
    return figure


def blank_figure(title: str) -> "go.Figure":
    """Return a figure of nothing but its title, as all of a page look.

    **Example**

    ```python
    figure = blank_figure("digits/mlp").add_scatter(x=[1, 2], y=[3, 4])
    ```
    """
    import plotly.graph_objects as go

    return go.Figure(
        layout={
            "title": {"text": title, "font": {"size": 15}},
            "template": "plotly_white",
            "height": 460,
            "margin": {"l": 60, "r": 20, "t": 50, "b": 50},
            "hoverlabel": {"namelength": -1},
        }
    )


def _thinned(curve: LossCurve) -> LossCurve:
    kept = np.unique(np.linspace(0, curve.steps.size - 1, POINTS).round().astype(int))
    parts = {part: getattr(curve, part)[kept] for part in ("steps", "low", "middle", "high")}
    return curve._replace(**parts)


def line_style(number: int) -> dict[str, Any]:
    """Return the colour and the dash of the line of an optimizer's number.

    **Example**

    ```python
    go.Scatter(x=rates, y=scores, line=line_style(0))
    ```
    """
    dash = DASHES[number // len(COLOURS) % len(DASHES)]
    return {"color": colour_of(number), "dash": dash, "width": 2}


def _traces(curve: LossCurve) -> "list[go.Scatter]":
    """Return a curve and its band, which the legend hides and shows together."""
    import plotly.graph_objects as go

    style = line_style(curve.number) | ({"dash": "dash", "width": 1.5} if curve.second else {})
    style |= {"width": 4} if curve.ours else {}
    line = go.Scatter(
        x=curve.steps,
        y=curve.middle.astype(np.float32),
        name=curve.label,
        legendgroup=curve.label,
        line=style,
        mode="lines",
        hovertemplate="%{x:.6g}: %{y:.3g}",
    )
    opacity = 0.2 if curve.ours else 0.07
    return [
        band(curve.steps, curve.low, curve.high, curve.label, style["color"], opacity),
        line,
    ]


def band(
    axis: np.ndarray, low: np.ndarray, high: np.ndarray, label: str, colour: str, opacity: float
) -> "go.Scatter":
    """Return the band of the line that has this label, with which the legend hides it.

    **Example**

    ```python
    figure.add_trace(band(rates, low, high, "learned", "#D55E00", 0.2))
    ```
    """
    import plotly.graph_objects as go

    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return go.Scatter(
        x=_there_and_back(axis),
        y=np.concatenate([high, low[::-1]]).astype(np.float32),
        legendgroup=label,
        showlegend=False,
        fill="toself",
        fillcolor=f"rgba({red}, {green}, {blue}, {opacity})",
        line={"width": 0},
        hoverinfo="skip",
        mode="lines",
    )


def _axis_switch(curves: Sequence[LossCurve]) -> dict[str, Any]:
    steps, seconds = [], []
    for curve in curves:
        axis = curve.steps * (curve.seconds_per_step or 0.0)
        steps += [_there_and_back(curve.steps).tolist(), curve.steps.tolist()]
        seconds += [[float(f"{x:.4g}") for x in line] for line in (_there_and_back(axis), axis)]
    buttons = [
        {"label": label, "method": "update", "args": [{"x": xs}, {"xaxis.title.text": title}]}
        for label, xs, title in (
            ("steps", steps, "inner step"),
            ("seconds", seconds, "seconds of one training, recorded losses included"),
        )
    ]
    return {
        "type": "buttons",
        "direction": "right",
        "buttons": buttons,
        "x": 1.0,
        "xanchor": "right",
        "y": 1.02,
        "yanchor": "bottom",
    }


def _there_and_back(axis: np.ndarray) -> np.ndarray:
    return np.concatenate([axis, axis[::-1]])


def _dots(means: Sequence[Score], what: str) -> "go.Scatter":
    import plotly.graph_objects as go

    middle, low, high = (
        np.array([2.0 ** getattr(score, part) for score in means])
        for part in ("value", "low", "high")
    )
    return go.Scatter(
        x=middle,
        y=[name(score) for score in means],
        error_x={"type": "data", "array": high - middle, "arrayminus": middle - low},
        mode="markers",
        marker={"size": 9, "color": COLOURS[1] if what == "in steps" else COLOURS[0]},
        name=what,
        text=[interval_text(score) for score in means],
        hovertemplate="%{y}: %{text}",
    )


def _steps(log_speed_ups: Float64[np.ndarray, " pairs"], label: str, number: int) -> "go.Scatter":
    import plotly.graph_objects as go

    values, counts = np.unique(log_speed_ups, return_counts=True)
    at_least = np.cumsum(counts[::-1])[::-1] / log_speed_ups.size
    return go.Scatter(
        x=2.0**values,
        y=at_least,
        line={**line_style(number), "shape": "vh"},
        mode="lines",
        name=label,
        hovertemplate="%{x:.3g}x or more: %{y:.0%}",
    )


def _cells(scores: Sequence[Score], *, visible: bool) -> "go.Heatmap":
    import plotly.graph_objects as go

    columns, rows = (
        list(dict.fromkeys(names))
        for names in (map(name, scores), (score.target for score in scores))
    )
    by_place = {(score.target, name(score)): score for score in scores}
    grid = [[by_place[row, column] for column in columns] for row in rows]
    return go.Heatmap(
        x=columns,
        y=rows,
        z=[_ranks(line) for line in grid],
        text=[[value_text(one.measure, one.value) for one in line] for line in grid],
        customdata=[[_told(one) for one in line] for line in grid],
        texttemplate="%{text}",
        hovertemplate="%{y}<br>%{x}<br>%{customdata}<extra></extra>",
        colorscale="Cividis",
        zmin=0,
        zmax=1,
        xgap=1,
        ygap=1,
        visible=visible,
        colorbar={"title": "rank", "tickvals": [0, 1], "ticktext": ["worst", "best"]},
    )


def _ranks(line: Sequence[Score]) -> list[float]:
    from scipy.stats import rankdata

    signs = {"lower": -1.0, "higher": 1.0}
    ranks = rankdata([signs[score.better] * score.value for score in line])
    return [float(rank) for rank in (ranks - 1) / max(len(line) - 1, 1)]


def _told(score: Score) -> str:
    diverged = part_text(score.diverged, score.trajectories)
    return f"{interval_text(score)}{rate_text(score)}<br>{diverged} diverged"


def _measure_menu(names: Sequence[str]) -> dict[str, Any]:
    buttons = [
        {
            "label": unit(chosen_one),
            "method": "restyle",
            "args": [{"visible": [measure == chosen_one for measure in names]}],
        }
        for chosen_one in names
    ]
    return {"buttons": buttons, "x": 0.0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"}
