"""The curve of the meta-loss, drawn from what MLflow has of a run, resumed or not."""

from typing import TYPE_CHECKING, Any

from prefect import task

from tasks import tracking
from tasks.references import RunReference

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PREFIX = "meta/loss"
VALIDATION = "validation/loss"
LABELS = {PREFIX: "all families", VALIDATION: "validation, all families"}
WHOLE: dict[str, Any] = {"color": "black", "zorder": 3}
MOST_INSIDE = 12
"""How many curves are named inside of the picture."""
ROW = 0.2
"""Inches that a name takes beside it."""
Curves = dict[str, list[tuple[int, float]]]
STYLES: dict[str, dict[str, Any]] = {
    PREFIX: WHOLE | {"linewidth": 2},
    VALIDATION: WHOLE | {"linestyle": "--", "marker": "o", "markersize": 4},
}


@task(name="log-meta-loss-curve")
def log_curve(run: RunReference) -> None:
    """Draw the meta-loss of all families, and that of validation; keep the picture with the run."""
    client = tracking.client()
    logged = client.get_run(run.mlflow_run_id).data.metrics
    names = [name for name in logged if name.startswith(PREFIX) or name == VALIDATION]
    curves: Curves = {}
    for name in sorted(names):
        points = client.get_metric_history(run.mlflow_run_id, name)
        curves[name] = sorted((point.step, point.value) for point in points)
    client.log_figure(run.mlflow_run_id, meta_loss_figure(curves), "plots/meta_loss.png")


def meta_loss_figure(curves: Curves) -> "Figure":
    """Return the curves as a figure, those of the whole ensemble above those of the families.

    Many families are named beside it, in the order in which their curves end.
    """
    from matplotlib.figure import Figure

    ordered = _by_their_ends(curves)
    many = len(curves) > MOST_INSIDE
    size = (11, max(5.0, ROW * len(curves))) if many else (8, 5)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    for name, style in zip(ordered, _styles(ordered, many), strict=True):
        steps, losses = zip(*curves[name], strict=True)
        label = LABELS.get(name, name.removeprefix(f"{PREFIX}/"))
        axes.plot(steps, losses, label=label, **style)
    axes.set(xlabel="meta-step", ylabel="meta-loss (mean log of the relative loss)")
    axes.grid(alpha=0.3)
    if many:
        figure.legend(fontsize="small", loc="outside right upper")
    else:
        axes.legend(fontsize="small")
    return figure


def _by_their_ends(curves: Curves) -> list[str]:
    """Return the names, the whole ensemble's first and then the families' from the worst on."""
    whole = [name for name in curves if name in STYLES]
    families = [name for name in curves if name not in STYLES]
    return [*whole, *sorted(families, key=lambda name: -curves[name][-1][1])]


def _styles(names: list[str], many: bool) -> list[dict[str, Any]]:
    from matplotlib import colormaps

    # Ten colors that anybody tells apart, or neighbouring ones for those that end side by side.
    families = [name for name in names if name not in STYLES]
    shades = colormaps["turbo"].resampled(len(families)) if many else colormaps["tab10"]
    thin = {"alpha": 0.6, "linewidth": 0.8 if many else 1.5}
    colored = {name: thin | {"color": shades(place)} for place, name in enumerate(families)}
    return [STYLES.get(name) or colored[name] for name in names]
