"""The whole cycle: data sets, ensemble, meta-training, evaluation, publication."""

from prefect import flow

from flows.evaluate_release import evaluate_release
from flows.generate_ensemble import generate_ensemble
from flows.meta_train import meta_train
from flows.prepare_datasets import prepare_datasets
from flows.publish_release import publish_release
from tasks import cancellation, command_line, queue_places, run_choice, run_names, tracking
from tasks.conf_checks import check_given
from tasks.confs import (
    DEFAULTS,
    DatasetsConf,
    EnsembleConf,
    EvaluationConf,
    MetaTrainingConf,
    PublicationConf,
)
from tasks.references import ModelVersionReference


@flow(name="full-cycle", flow_run_name=run_names.run_name, on_running=[cancellation.listen])
def full_cycle(
    datasets: DatasetsConf = DEFAULTS.datasets,
    ensemble: EnsembleConf = DEFAULTS.ensemble,
    meta_training: MetaTrainingConf = DEFAULTS.meta_training,
    evaluation: EvaluationConf = DEFAULTS.evaluation,
    publication: PublicationConf = DEFAULTS.publication,
) -> ModelVersionReference:
    """Meta-train an optimizer, compare it with hand-made ones, and publish it."""
    confs = {
        "datasets": datasets,
        "ensemble": ensemble,
        "meta_training": meta_training,
        "evaluation": evaluation,
        "publication": publication,
    }
    check_given(confs)
    queue_places.wait_for_mine()
    with tracking.tracked("full-cycle", confs) as mlflow_run_id:
        prepare_datasets(datasets, mlflow_run_id)
        drawn = generate_ensemble(ensemble, mlflow_run_id)
        # Kept to the end: a run whose release is not published yet is taken up by the next cycle.
        with run_choice.opened(meta_training, drawn.digest, publishing=True) as run:
            directory = str(run.directory)
            release = meta_train(ensemble, meta_training, mlflow_run_id, directory)
            report = evaluate_release(ensemble, evaluation, release.directory, mlflow_run_id)
            return publish_release(publication, release.directory, report.directory, mlflow_run_id)


if __name__ == "__main__":
    command_line.main(
        full_cycle,
        if_stopped="The same command goes on, from the last checkpoint or with what comes after.",
    )
