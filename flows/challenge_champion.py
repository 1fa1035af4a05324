"""A release against the champion on the same targets and seeds: promoted or refused."""

from prefect import flow

from flows.evaluate_release import evaluate_release
from tasks import cancellation, command_line, last_screen, promotion, run_names, terminal, tracking
from tasks.comparison import merge_reports, pair_reports
from tasks.conf_checks import check_given
from tasks.confs import DEFAULTS, EnsembleConf, EvaluationConf, GateConf, PublicationConf
from tasks.gate import Decision, announce, rule_on, settle, sources
from tasks.parameters import Release
from tasks.publication import register_challenger
from tasks.releases import LATEST, find_release, note_settled
from tasks.scores import log_report


@flow(name="challenge-champion", flow_run_name=run_names.run_name, on_running=[cancellation.listen])
def challenge_champion(
    ensemble: EnsembleConf = DEFAULTS.ensemble,
    evaluation: EvaluationConf = DEFAULTS.evaluation,
    gate: GateConf = DEFAULTS.gate,
    publication: PublicationConf = DEFAULTS.publication,
    release: Release = LATEST,
    parent_mlflow_run_id: str | None = None,
) -> Decision:
    """Register a release as challenger, and make it champion if it is better than that.

    Args:
        release: The release that is to be the challenger.
        parent_mlflow_run_id: MLflow run of the cycle that this is a part of; empty for none.
    """
    confs = {
        "ensemble": ensemble,
        "evaluation": evaluation,
        "gate": gate,
        "publication": publication,
    }
    check_given(confs)
    found = find_release(release)
    with tracking.tracked("challenge-champion", confs, parent_mlflow_run_id) as mlflow_run_id:
        mine = evaluate_release(ensemble, evaluation, found.directory, mlflow_run_id)
        terminal.heading("The gate")
        version = register_challenger(publication, found, mine.directory, mlflow_run_id)
        for _ in range(gate.comparisons):
            champion, ruling = promotion.rival(version), None
            if champion is not None:
                uri = f"models:/{version.name}/{champion}"
                theirs = evaluate_release(ensemble, evaluation, uri, mlflow_run_id)
                both = sources(version, mine, champion, theirs)
                ruling = rule_on(gate, pair_reports(both), version, champion)
                log_report(mlflow_run_id, merge_reports(both))
            decision = settle(version, champion, ruling)
            if not decision.outdated:
                break
        announce(decision, ruling, mlflow_run_id)
    if parent_mlflow_run_id is None:
        # A night does that itself, once it has noted that it is done.
        note_settled(found)
    last_screen.show_decision(decision)
    return decision


if __name__ == "__main__":
    command_line.main(
        challenge_champion, if_stopped="The same command goes on with what is not done."
    )
