"""Meta-training, segment by segment; one that was interrupted goes on where it was."""

from prefect import flow

from tasks import (
    accelerators,
    cancellation,
    command_line,
    garbage,
    last_screen,
    queue_places,
    run_choice,
    run_names,
    system_metrics,
    terminal,
    tracking,
)
from tasks.conf_checks import check_given
from tasks.confs import DEFAULTS, EnsembleConf, MetaTrainingConf
from tasks.curves import log_curve
from tasks.ensembles import draw_ensemble
from tasks.meta_training import (
    all_compiled_by,
    announce_compiling,
    find_best_checkpoint,
    find_checkpoint,
    log_release,
    meta_train_segment,
    segment_ends,
    send_rows,
    write_release,
)
from tasks.references import EnsembleReference, ReleaseReference, RunReference
from tasks.releases import release_of
from tasks.tracked_inputs import log_ensemble


@flow(name="meta-train", flow_run_name=run_names.run_name, on_running=[cancellation.listen])
def meta_train(
    ensemble: EnsembleConf = DEFAULTS.ensemble,
    meta_training: MetaTrainingConf = DEFAULTS.meta_training,
    parent_mlflow_run_id: str | None = None,
    run_directory: str | None = None,
) -> ReleaseReference:
    """Meta-train an optimizer on an ensemble and make a release of it.

    Args:
        parent_mlflow_run_id: MLflow run of the cycle that this is a part of; empty for none.
        run_directory: Folder of the run that the cycle has opened; empty to choose one by the conf.
    """
    check_given({"ensemble": ensemble, "meta_training": meta_training})
    queue_places.wait_for_mine()
    terminal.heading("Meta-training")
    accelerators.prepare(meta_training)
    terminal.say(f"  {accelerators.described(meta_training)}")
    drawn = draw_ensemble(ensemble)
    held_out = draw_ensemble(ensemble.with_seed(meta_training.validation_seed))
    with run_choice.given_or_opened(run_directory, meta_training, drawn.digest) as folder:
        terminal.say(f"  {folder}")
        if folder.logged:
            tracking.adopt(folder.record.mlflow_run_id, parent_mlflow_run_id)
            return _told(release_of(folder), ensemble, parent_mlflow_run_id)
        resumed = folder.record.mlflow_run_id
        confs = {"ensemble": ensemble, "meta_training": folder.seeded(meta_training)}
        with (
            tracking.tracked("meta-train", confs, parent_mlflow_run_id, resumed) as mlflow_run_id,
            system_metrics.logged(mlflow_run_id) as monitoring,
        ):
            if mlflow_run_id != resumed:
                log_ensemble(mlflow_run_id, drawn, "meta-training")
            run = folder.noted(mlflow_run_id=mlflow_run_id).reference()
            if not folder.finished:
                _train(run, meta_training, drawn, held_out, monitoring)
                best = find_best_checkpoint(run)
                write_release(run, meta_training, ensemble, drawn, best)
            send_rows(run)
            log_curve(run)
            # Last: by this the run is known to be logged.
            release = log_release(run)
    return _told(release, ensemble, parent_mlflow_run_id)


def _told(
    release: ReleaseReference, ensemble: EnsembleConf, parent: str | None
) -> ReleaseReference:
    """Show what came out, unless a cycle does so that this is a part of."""
    if parent is None:
        last_screen.show_release(release, ensemble)
    return release


def _train(
    run: RunReference,
    conf: MetaTrainingConf,
    drawn: EnsembleReference,
    held_out: EnsembleReference,
    monitoring: system_metrics.Monitoring | system_metrics.NoMonitoring,
) -> None:
    """Take the segments that are left."""
    done = find_checkpoint(run)
    announce_compiling(conf, drawn, done)
    steady_from = all_compiled_by(conf, drawn, done)
    with (
        terminal.stage("meta-training", conf.meta_steps, done, steady_from),
        garbage.set_aside() as settle,
    ):
        for end in segment_ends(conf, done):
            meta_train_segment(run, conf, drawn, held_out, end)
            monitoring.renew()
            if end >= steady_from:
                settle()


if __name__ == "__main__":
    command_line.main(meta_train, if_stopped="The same command goes on from the last checkpoint.")
