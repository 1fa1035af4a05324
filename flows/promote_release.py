"""A version of the registry made champion by a person, if the gate lets it through."""

from prefect import flow

from tasks import cancellation, command_line, last_screen, promotion, run_names, terminal, tracking
from tasks.comparison import pair_reports
from tasks.conf_checks import check_given
from tasks.confs import DEFAULTS, GateConf, PublicationConf
from tasks.gate import Decision, announce, intended, refuse_unlike, rule_on, settle, versions_of
from tasks.parameters import Version


@flow(name="promote-release", flow_run_name=run_names.run_name, on_running=[cancellation.listen])
def promote_release(
    gate: GateConf = DEFAULTS.gate,
    publication: PublicationConf = DEFAULTS.publication,
    version: Version = promotion.CHALLENGER,
    force: bool = False,
    dry_run: bool = False,
) -> Decision:
    """Compare a version with the champion by their newest reports, and move the alias if better.

    Args:
        version: Which version of the model is to be made champion.
        force: Whether to move the alias even if the gate is against it, or there are no reports
            to compare by.
        dry_run: Whether to say only what would be done.
    """
    confs = {"gate": gate, "publication": publication}
    check_given(confs)
    wanted = promotion.named(publication.model_name, publication.alias, version)
    champion, ruling = promotion.rival(wanted), None
    if champion is not None and not force:
        pair = pair_reports(versions_of(wanted, champion))
        refuse_unlike(pair, wanted, champion)
        ruling = rule_on(gate, pair, wanted, champion)
    if dry_run:
        decision = intended(wanted, champion, ruling)
        terminal.say("Nothing is changed. What would be done:")
    else:
        with tracking.tracked("promote-release", confs) as mlflow_run_id:
            decision = settle(wanted, champion, ruling)
            announce(decision, ruling, mlflow_run_id)
    last_screen.show_decision(decision)
    return decision


if __name__ == "__main__":
    command_line.main(promote_release)
