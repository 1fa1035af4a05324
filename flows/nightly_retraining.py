"""A night of retraining: a challenger is meta-trained, and takes the champion's place if better."""

from prefect import flow
from prefect.states import Completed, State

from flows.challenge_champion import challenge_champion
from flows.generate_ensemble import generate_ensemble
from flows.meta_train import meta_train
from flows.prepare_datasets import prepare_datasets
from tasks import (
    alarms,
    cancellation,
    command_line,
    nights,
    queue_places,
    run_choice,
    run_names,
    terminal,
    tracking,
)
from tasks.conf_checks import check_given
from tasks.confs import (
    DEFAULTS,
    DatasetsConf,
    EnsembleConf,
    EvaluationConf,
    GateConf,
    MetaTrainingConf,
    NightConf,
    PublicationConf,
)
from tasks.gate import Decision
from tasks.parameters import Night
from tasks.releases import note_settled


@flow(
    name="nightly-retraining",
    flow_run_name=run_names.run_name,
    on_running=[cancellation.listen],
    on_failure=[nights.report],
    on_completion=[alarms.report_left_out],
)
def nightly_retraining(
    night: NightConf = DEFAULTS.night,
    datasets: DatasetsConf = DEFAULTS.datasets,
    ensemble: EnsembleConf = DEFAULTS.ensemble,
    meta_training: MetaTrainingConf = DEFAULTS.meta_training,
    evaluation: EvaluationConf = DEFAULTS.evaluation,
    gate: GateConf = DEFAULTS.gate,
    publication: PublicationConf = DEFAULTS.publication,
    at: Night = nights.SCHEDULE,
) -> Decision | State[None]:
    """Meta-train a challenger on freshly drawn problems, which becomes champion only if better.

    Args:
        at: Which night it is: give the time of one that was stopped to go on with that.
    """
    queue_places.wait_for_mine()
    with nights.alone(at) as tonight:
        if reason := nights.done_already(tonight):
            terminal.say(reason)
            return Completed(name="Skipped", message=reason)
        if reason := nights.too_late(tonight, night):
            terminal.warn(reason)
            return Completed(name=alarms.LEFT_OUT, message=reason)
        start = nights.release_to_begin_with(tonight, night, publication)
        meta_training = nights.begun_with(meta_training, start)
        ensemble = ensemble.with_seed(tonight.seed)
        confs = {
            "night": night,
            "datasets": datasets,
            "ensemble": ensemble,
            "meta_training": meta_training,
            "evaluation": evaluation,
            "gate": gate,
            "publication": publication,
        }
        check_given(confs)
        terminal.heading(f"The night of {tonight.name}, from {start or 'a new optimizer'} on")
        tags = nights.tags(tonight, start)
        with tracking.tracked(
            "nightly-retraining", confs, resumed=tonight.resumed, tags=tags
        ) as mlflow_run_id:
            prepare_datasets(datasets, mlflow_run_id)
            drawn = generate_ensemble(ensemble, mlflow_run_id)
            # Kept until all is settled: a run that is not is gone on with by the same night.
            with run_choice.opened(meta_training, drawn.digest, publishing=True) as run:
                directory = str(run.directory)
                release = meta_train(ensemble, meta_training, mlflow_run_id, directory)
                decision = challenge_champion(
                    ensemble, evaluation, gate, publication, release.directory, mlflow_run_id
                )
                nights.note_done(mlflow_run_id, decision.words)
                note_settled(release)
            return decision


if __name__ == "__main__":
    command_line.main(
        nightly_retraining, if_stopped="The same command goes on, with --at and the night above."
    )
