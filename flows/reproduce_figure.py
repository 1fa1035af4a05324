"""One of the paper's figures: what it needs is meta-trained, evaluated or measured, and drawn."""

from prefect import flow

from flows.meta_train import meta_train
from tasks import (
    cancellation,
    command_line,
    last_screen,
    queue_places,
    run_names,
    settings,
    terminal,
    tracking,
    variants,
)
from tasks.conf_checks import check_given
from tasks.confs import DEFAULTS, EnsembleConf, EvaluationConf, FigureConf, MetaTrainingConf
from tasks.datasets import prepare_dataset
from tasks.ensembles import draw_ensemble
from tasks.evaluation import check_held_out, evaluate_cells
from tasks.evaluation_targets import target_references
from tasks.figure_orders import figure_data_sets, figure_orders
from tasks.figures import draw_figure, log_figure, measure_step_times
from tasks.parameters import Release
from tasks.references import FigureReference
from tasks.releases import LATEST, find_release


@flow(name="reproduce-figure", flow_run_name=run_names.run_name, on_running=[cancellation.listen])
def reproduce_figure(
    figure: FigureConf = DEFAULTS.figure,
    ensemble: EnsembleConf = DEFAULTS.ensemble,
    meta_training: MetaTrainingConf = DEFAULTS.meta_training,
    evaluation: EvaluationConf = DEFAULTS.evaluation,
    release: Release = LATEST,
) -> FigureReference:
    """Draw one of the paper's figures, anew from the beginning.

    Args:
        release: The release that is the learned optimizer in the figure.
    """
    confs = {
        "figure": figure,
        "ensemble": ensemble,
        "meta_training": meta_training,
        "evaluation": evaluation,
    }
    check_given(confs)
    queue_places.wait_for_mine()
    terminal.heading(f"Figure {figure.number}: {figure.title}")
    found = find_release(release) if figure.with_release else None
    with tracking.tracked("reproduce-figure", confs) as mlflow_run_id:
        needed = figure_data_sets(figure, ensemble, evaluation)
        data_sets = [prepare_dataset(name, DEFAULTS.datasets) for name in needed]
        held_out = draw_ensemble(ensemble.with_seed(evaluation.held_out_seed))
        if found is not None:
            check_held_out(evaluation, held_out, found)
        of_variants = variants.variants(figure, meta_training)
        trained = {}
        for name, conf in of_variants.items():
            terminal.say(f"  {name}")
            with variants.opened(conf, draw_ensemble(ensemble).digest) as folder:
                trained[name] = meta_train(ensemble, conf, mlflow_run_id, folder)
        targets = target_references(evaluation, held_out, data_sets)
        orders = figure_orders(figure, evaluation, targets, found, trained)
        if figure.number == 7:
            with terminal.stage("sizes of minibatches", len(figure.batch_sizes)):
                drawn = measure_step_times(figure, evaluation, orders)
        else:
            with terminal.stage("optimizers x targets", len(orders)):
                failures = evaluate_cells(evaluation, orders)
            drawn = draw_figure(figure, of_variants, orders, failures)
        log_figure(mlflow_run_id, drawn)
    last_screen.show_figure(mlflow_run_id, drawn)
    return drawn


if __name__ == "__main__":
    command_line.main(
        reproduce_figure,
        shipped=("figure", settings.REPOSITORY / "conf" / "figures"),
        if_stopped="The same command goes on with what is not done.",
    )
