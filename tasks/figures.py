"""Drawing the paper's figures of cells and of seconds, and what MLflow and Prefect get of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task
from prefect.artifacts import create_markdown_artifact

from tasks import code_version, settings, tags, terminal, tracking
from tasks.cell_orders import OURS, CellOrder, candidate_of
from tasks.cells import whole_grid
from tasks.confs import EvaluationConf, FigureConf, MetaTrainingConf
from tasks.errors import may_pass
from tasks.evaluation import NothingToReportError
from tasks.evaluation_targets import target_of
from tasks.figure_orders import facts_of
from tasks.references import FigureReference
from tasks.score_page import markdown_table

if TYPE_CHECKING:
    from lopt.evaluation import Cell, Failure
    from lopt.figures import Drawn

FOLDER = "figure"


@task(name="draw-figure", task_run_name="draw-figure-{figure.number}")
def draw_figure(
    figure: FigureConf,
    trained: Mapping[str, MetaTrainingConf],
    orders: Sequence[CellOrder],
    failures: "Sequence[Failure]",
) -> FigureReference:
    """Draw a figure of the cells that are there; the variants of `trained` were made for it.

    Raises `NothingToReportError` where no learned optimizer is among them.
    """
    cells = whole_grid(orders)
    if not {cell.optimizer for cell in cells} & {*trained, OURS}:
        reasons = "; ".join(f"{one.optimizer} on {one.target}: {one.reason}" for one in failures)
        raise NothingToReportError(
            f"{len(failures)} of {len(orders)} cells have failed, and nothing is left to draw. The "
            f"others are kept: the same command goes on. {reasons}"
        )
    facts = facts_of(figure, orders)
    drawn = _drawn(figure, trained, cells, facts)
    missing = [f"{one.optimizer} on {one.target} ({one.reason})" for one in failures]
    return _written(figure, drawn, facts | ({"failed": "; ".join(missing)} if missing else {}))


@task(name="measure-step-times", retries=1, retry_delay_seconds=1, retry_condition_fn=may_pass)
def measure_step_times(
    figure: FigureConf, evaluation: EvaluationConf, orders: Sequence[CellOrder]
) -> FigureReference:
    """Measure the seconds of each optimizer on the first target, and draw them."""
    import jax

    from lopt.figures import StepTime, step_times, step_times_figure

    first = orders[0].target
    candidates = [candidate_of(one.candidate) for one in orders if one.target == first]
    sizes, rows = figure.batch_sizes, list[StepTime]()
    measured = step_times(
        target_of(first),
        candidates,
        sizes,
        rounds=figure.rounds,
        reading_seconds=figure.reading_seconds,
        key=jax.random.key(evaluation.seed),
    )
    for done, (size, readings) in enumerate(zip(sizes, measured, strict=True), start=1):
        rows += readings
        terminal.reach(done, f"minibatches of {size}")
    device = jax.devices()[0]
    name = device.device_kind if device.platform != "cpu" else "the processor"
    drawn = step_times_figure(rows, figure.reference, figure.title, f"{name} ({device.platform})")
    return _written(figure, drawn, facts_of(figure, orders))


@task(name="log-figure")
def log_figure(mlflow_run_id: str, reference: FigureReference) -> None:
    """Log picture, page and tables as artifacts; show the main numbers in Prefect."""
    from lopt.evaluation.tables import Table

    directory = Path(reference.directory)
    tracking.log_files(mlflow_run_id, sorted(directory.iterdir()), FOLDER)
    tracking.set_tags(
        mlflow_run_id, {tags.FIGURE: reference.number, tags.FIGURE_DIGEST: reference.digest}
    )
    numbers = markdown_table(Table(reference.columns, reference.rows))
    create_markdown_artifact(
        f"{reference.caption}\n\n{numbers}\n",
        key=f"figure-{reference.number}",
        description=reference.title,
    )


def _drawn(
    figure: FigureConf,
    trained: Mapping[str, MetaTrainingConf],
    cells: "tuple[Cell, ...]",
    facts: Mapping[str, str],
) -> "Drawn":
    from lopt.evaluation import Report
    from lopt.figures import ablations, initial_rates, training_curves

    if figure.number == 5:
        return initial_rates(cells, figure.title, figure.panels)
    report = Report(cells, facts)
    if figure.number == 6:
        return ablations(report, next(iter(trained)), figure.title, figure.panels)
    longest = {name: conf.unroll_steps * conf.longest_unrolls for name, conf in trained.items()}
    return training_curves(report, figure.title, figure.panels, longest)


def _written(figure: FigureConf, drawn: "Drawn", facts: Mapping[str, str]) -> FigureReference:
    from lopt.figures import write

    name = f"figure_{figure.number}"
    written = write(drawn, settings.figures_root(), name, {**facts, **code_version.circumstances()})
    return FigureReference(
        number=figure.number,
        title=drawn.title,
        directory=str(written.directory),
        picture=str(written.picture),
        page=str(written.page),
        tables=tuple(map(str, written.tables)),
        digest=written.digest,
        caption=drawn.caption,
        columns=drawn.summary.columns,
        rows=drawn.summary.rows,
    )
