"""A release against hand-made optimizers, on what it was not trained on."""

from prefect import flow

from tasks import cancellation, command_line, last_screen, run_names, terminal, tracking
from tasks.cell_orders import cell_orders
from tasks.conf_checks import check_given
from tasks.confs import DEFAULTS, EnsembleConf, EvaluationConf
from tasks.datasets import prepare_dataset
from tasks.ensembles import draw_ensemble
from tasks.evaluation import check_held_out, evaluate_cells, write_report
from tasks.evaluation_targets import data_sets_of, target_references
from tasks.parameters import Release
from tasks.references import ReportReference
from tasks.releases import LATEST, find_release
from tasks.scores import PAGE, log_report
from tasks.tracked_inputs import log_data_set, log_ensemble


@flow(name="evaluate-release", flow_run_name=run_names.run_name, on_running=[cancellation.listen])
def evaluate_release(
    ensemble: EnsembleConf = DEFAULTS.ensemble,
    evaluation: EvaluationConf = DEFAULTS.evaluation,
    release: Release = LATEST,
    parent_mlflow_run_id: str | None = None,
) -> ReportReference:
    """Compare a release with hand-made optimizers.

    Args:
        release: The release that is to be evaluated.
        parent_mlflow_run_id: MLflow run of the cycle that this is a part of; empty for none.
    """
    confs = {"ensemble": ensemble, "evaluation": evaluation}
    check_given(confs)
    terminal.heading("Evaluation")
    found = find_release(release)
    held_out = draw_ensemble(ensemble.model_copy(update={"seed": evaluation.held_out_seed}))
    check_held_out(evaluation, held_out, found)
    with tracking.tracked("evaluate-release", confs, parent_mlflow_run_id) as mlflow_run_id:
        data_sets = [prepare_dataset(name, DEFAULTS.datasets) for name in data_sets_of(evaluation)]
        log_ensemble(mlflow_run_id, held_out, "evaluation")
        for data_set in data_sets:
            log_data_set(mlflow_run_id, data_set, "evaluation")
        orders = cell_orders(evaluation, target_references(evaluation, held_out, data_sets), found)
        with terminal.stage("optimizers x targets", len(orders)):
            failures = evaluate_cells(evaluation, orders)
        report = write_report(evaluation, orders, failures)
        log_report(mlflow_run_id, report)
    last_screen.show_scores(report)
    if parent_mlflow_run_id is None:
        last_screen.show_page(mlflow_run_id, PAGE)
    return report


if __name__ == "__main__":
    command_line.main(
        evaluate_release,
        if_stopped="The same command goes on with what is not done.",
    )
