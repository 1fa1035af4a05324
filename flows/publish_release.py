"""A release into MLflow's model registry, from where everybody loads it."""

from prefect import flow

from tasks import cancellation, command_line, last_screen, run_names, terminal, tracking
from tasks.conf_checks import check_given
from tasks.confs import DEFAULTS, PublicationConf
from tasks.parameters import Release, Report
from tasks.publication import (
    announce,
    find_report,
    move_alias,
    refuse_refused,
    register_release,
)
from tasks.references import ModelVersionReference
from tasks.releases import LATEST, find_release


@flow(name="publish-release", flow_run_name=run_names.run_name, on_running=[cancellation.listen])
def publish_release(
    publication: PublicationConf = DEFAULTS.publication,
    release: Release = LATEST,
    report: Report = LATEST,
    parent_mlflow_run_id: str | None = None,
) -> ModelVersionReference:
    """Register a release, with what its report says, and move the alias to it.

    Args:
        release: The release that is to be published.
        report: Which report says how the release compares with other optimizers.
        parent_mlflow_run_id: MLflow run of the cycle that this is a part of; empty for none.
    """
    confs = {"publication": publication}
    check_given(confs)
    terminal.heading("Publication")
    found = find_release(release)
    refuse_refused(publication, found)
    compared = find_report(report, found)
    with (
        tracking.tracked("publish-release", confs, parent_mlflow_run_id) as mlflow_run_id,
        terminal.stage("publication", 3),
    ):
        version = register_release(publication, found, compared, mlflow_run_id)
        terminal.reach(1, f"version {version.version}")
        move_alias(version, found)
        terminal.reach(2, f"{version.alias} moved")
        announce(version, compared)
        terminal.reach(3, "announced")
    last_screen.show_version(version)
    return version


if __name__ == "__main__":
    command_line.main(publish_release)
