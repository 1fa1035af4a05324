"""The problems to meta-train on, drawn from a conf."""

from pathlib import Path

from prefect import flow

from tasks import cancellation, command_line, run_names, terminal, tracking
from tasks.conf_checks import check_given
from tasks.confs import DEFAULTS, EnsembleConf
from tasks.ensemble_page import PAGE, log_page, show_counts, steps_in_all
from tasks.ensembles import draw_ensemble
from tasks.last_screen import show_page
from tasks.references import EnsembleReference
from tasks.tracked_inputs import log_ensemble


@flow(name="generate-ensemble", flow_run_name=run_names.run_name, on_running=[cancellation.listen])
def generate_ensemble(
    ensemble: EnsembleConf = DEFAULTS.ensemble, parent_mlflow_run_id: str | None = None
) -> EnsembleReference:
    """Draw an ensemble into a Parquet manifest with a digest, and a page that shows it.

    Args:
        parent_mlflow_run_id: MLflow run of the cycle that this is a part of; empty for none.
    """
    confs = {"ensemble": ensemble}
    check_given(confs)
    terminal.heading("Ensemble")
    drawn = draw_ensemble(ensemble)
    with tracking.tracked("generate-ensemble", confs, parent_mlflow_run_id) as mlflow_run_id:
        steps = steps_in_all(drawn) + 1
        with terminal.stage("ensemble", steps):
            log_page(mlflow_run_id, ensemble, drawn)
            log_ensemble(mlflow_run_id, drawn, "generation")
            tracking.log_files(mlflow_run_id, [Path(drawn.path)])
            terminal.reach(steps, "recorded")
    show_counts(drawn)
    terminal.say(f"  {drawn}")
    if parent_mlflow_run_id is None:
        show_page(mlflow_run_id, PAGE)
    return drawn


if __name__ == "__main__":
    command_line.main(generate_ensemble)
