"""The curve of the meta-loss, drawn from what MLflow has of a run, resumed or not."""

from typing import TYPE_CHECKING

from prefect import task

from tasks import tracking
from tasks.references import RunReference

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PREFIX = "meta/loss"


@task(name="log-meta-loss-curve")
def log_curve(run: RunReference) -> None:
    """Draw the meta-loss of all families and keep the picture with the run."""
    client = tracking.client()
    names = [name for name in client.get_run(run.mlflow_run_id).data.metrics if PREFIX in name]
    curves = {}
    for name in sorted(names):
        points = client.get_metric_history(run.mlflow_run_id, name)
        curves[name] = sorted((point.step, point.value) for point in points)
    client.log_figure(run.mlflow_run_id, meta_loss_figure(curves), "plots/meta_loss.png")


def meta_loss_figure(curves: dict[str, list[tuple[int, float]]]) -> "Figure":
    """Return the curves as a figure, the whole ensemble's above those of the families."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name, points in curves.items():
        whole = name == PREFIX
        steps, losses = zip(*points, strict=True)
        label = "all families" if whole else name.removeprefix(f"{PREFIX}/")
        style = {"color": "black", "linewidth": 2, "zorder": 3} if whole else {"alpha": 0.6}
        axes.plot(steps, losses, label=label, **style)
    axes.set(xlabel="meta-step", ylabel="meta-loss (mean log of the relative loss)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure
