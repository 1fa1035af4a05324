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
    curves = {}
    for name in sorted(names):
        points = client.get_metric_history(run.mlflow_run_id, name)
        curves[name] = sorted((point.step, point.value) for point in points)
    client.log_figure(run.mlflow_run_id, meta_loss_figure(curves), "plots/meta_loss.png")


def meta_loss_figure(curves: dict[str, list[tuple[int, float]]]) -> "Figure":
    """Return the curves as a figure, those of the whole ensemble above those of the families."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name, points in curves.items():
        steps, losses = zip(*points, strict=True)
        label = LABELS.get(name, name.removeprefix(f"{PREFIX}/"))
        axes.plot(steps, losses, label=label, **STYLES.get(name, {"alpha": 0.6}))
    axes.set(xlabel="meta-step", ylabel="meta-loss (mean log of the relative loss)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure
