"""Publishing a release in MLflow's model registry."""

from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import task_run

from tasks import promotion, run_folders, settings, tracking
from tasks.cell_orders import OURS
from tasks.confs import PublicationConf
from tasks.errors import may_pass
from tasks.promotion import CHALLENGER
from tasks.references import ModelVersionReference, ReleaseReference, short
from tasks.releases import LOGGED_MODEL, logged_model_id
from tasks.score_page import score_page
from tasks.scores import metric_name
from tasks.tags import GATE, GATE_REASONS, HELD_OUT_DIFFERENCE, RELEASE_DIGEST
from tasks.tracking_store import is_code

NO_REPORT = "none"


LONGEST_CARD = 5000
"""Characters that MLflow takes in the description of a version."""


class RefusedReleaseError(ValueError):
    """A release that is to be published though the gate has refused it."""


class NoReportError(LookupError):
    """There is no report of a release."""


@task(name="register-release", retries=1, retry_delay_seconds=5, retry_condition_fn=may_pass)
def register_release(
    conf: PublicationConf, release: ReleaseReference, report: str, mlflow_run_id: str
) -> ModelVersionReference:
    """Make the release a version of the registered model."""
    if task_run.run_count > 1 and (before := _registered(conf, release)):
        # The attempt before has, and then could not write what it is.
        _write_card(before, release)
        return before
    uri = _logged_already(release) or _logged(release, mlflow_run_id)
    client = tracking.client()
    _ensure_registered(conf.model_name)
    version = client.create_model_version(
        conf.model_name,
        uri,
        run_id=release.mlflow_run_id,
        tags={RELEASE_DIGEST: release.digest, **_comparison(report)},
        model_id=logged_model_id(uri),
    )
    found = _reference(conf, int(version.version))
    _write_card(found, release)
    return found


@task(name="register-challenger", retries=1, retry_delay_seconds=5, retry_condition_fn=may_pass)
def register_challenger(
    conf: PublicationConf, release: ReleaseReference, report: str, mlflow_run_id: str
) -> ModelVersionReference:
    """Make the release a version with the alias "challenger", unless it is a version already."""
    version = _registered(conf, release)
    if version is None:
        version = register_release.fn(conf, release, report, mlflow_run_id)
    elif not _card(version):
        # Of a process that died before it was written.
        _write_card(version, release)
    # An alias is only ever on what can be loaded.
    promotion.check_loads(version.name, version.version)
    tracking.client().set_registered_model_alias(conf.model_name, CHALLENGER, str(version.version))
    return version


# A task of its own: when it is tried again, the release is not registered a second time.
@task(name="move-alias", retries=1, retry_delay_seconds=5, retry_condition_fn=may_pass)
def move_alias(version: ModelVersionReference, release: ReleaseReference) -> None:
    """Move the alias to the version, if that can be loaded; so the release is published."""
    promotion.take(version)
    run_folders.note_published(Path(release.directory))


@task(name="announce-version")
def announce(version: ModelVersionReference, report: str) -> None:
    """Show in Prefect what was published and how it compares."""
    text = f"# {version.name} version {version.version} is now {version.alias}\n\n"
    if report != NO_REPORT:
        from lopt.evaluation import Report

        text += score_page(Report.read(Path(report)))
    else:
        text += "No report of this release was found: nothing is known of how it compares.\n"
    create_markdown_artifact(text, key="published", description=version.uri)


def find_report(report: str, release: ReleaseReference) -> str:
    """Return the folder of a report: the newest one of the release, or the one that is named.

    "none" where "latest" finds none. Raises `NoReportError` for a folder that is no report of the
    release, and `ReportError` for one that is damaged.
    """
    if report == "latest":
        found = settings.reports_root().glob(f"{short(release.digest)}-*")
        newest = max(found, key=lambda path: path.stat().st_mtime_ns, default=None)
        if newest is None:
            return NO_REPORT
        report = str(newest)
    _check_report(report, release)
    return report


def _check_report(report: str, release: ReleaseReference) -> None:
    from lopt.evaluation import Report

    if not (Path(report) / "report.json").is_file():
        raise NoReportError(f"{report} is no report. Run `python -m flows.evaluate_release`.")
    of = Report.read(Path(report)).facts.get("release")
    if of != release.digest:
        raise NoReportError(
            f"{report} is a report of {f'the release {of[:12]}' if of else 'no release'}, and not "
            f"of {release.digest[:12]} in {release.directory}, which is to be published. Name a "
            "report of that, or make one: `python -m flows.evaluate_release --release "
            f"{release.directory}`."
        )


def append_to_card(version: ModelVersionReference, heading: str, text: str) -> None:
    """Put a section at the end of a version's model card, instead of one that it may have had."""
    card = _card(version).partition(f"\n{heading}\n")[0]
    # What is said last matters most, and there may be no room for all.
    section = f"\n{heading}\n\n{text}\n"[:LONGEST_CARD]
    _update_card(version, card[: LONGEST_CARD - len(section)] + section)


def refuse_refused(conf: PublicationConf, release: ReleaseReference) -> None:
    """Raise `RefusedReleaseError` for a release that is a version which the gate has refused."""
    version = _registered(conf, release)
    if version is None:
        return
    tags = tracking.client().get_model_version(version.name, str(version.version)).tags
    if tags.get(GATE) == "refused":
        raise RefusedReleaseError(
            f"The release {release.digest[:12]} is {version.name} version {version.version}, which "
            f"the gate has refused: {tags.get(GATE_REASONS, '')} To make it {conf.alias} all the "
            f"same: `python -m flows.promote_release --version {version.version} --force`."
        )


def _write_card(version: ModelVersionReference, release: ReleaseReference) -> None:
    from lopt.loading import load
    from lopt.model_card import model_card

    # By its number: whoever reads the card of a version means that one, whatever alias it has.
    uri = f"models:/{version.name}/{version.version}"
    _update_card(version, model_card(load(release.directory), uri)[:LONGEST_CARD])


def _card(version: ModelVersionReference) -> str:
    found = tracking.client().get_model_version(version.name, str(version.version))
    return str(found.description or "")


def _update_card(version: ModelVersionReference, text: str) -> None:
    tracking.client().update_model_version(version.name, str(version.version), text)


def _logged_already(release: ReleaseReference) -> str | None:
    """Return the URI of the release's logged model, `None` if there is none or it was swept."""
    from mlflow.exceptions import MlflowException

    model_id = logged_model_id(release.model_uri or "")
    if model_id is None:
        return release.model_uri
    try:
        tracking.client().get_logged_model(model_id)
    except MlflowException as error:
        if not is_code(error, "RESOURCE_DOES_NOT_EXIST"):
            raise
        return None
    return release.model_uri


def _registered(conf: PublicationConf, release: ReleaseReference) -> ModelVersionReference | None:
    """Return the newest version that is this release, `None` for none."""
    asked = f"name = '{conf.model_name}' and tags.{RELEASE_DIGEST} = '{release.digest}'"
    numbers = [int(one.version) for one in tracking.client().search_model_versions(asked)]
    return _reference(conf, max(numbers)) if numbers else None


def _reference(conf: PublicationConf, version: int) -> ModelVersionReference:
    uri = f"models:/{conf.model_name}@{conf.alias}"
    return ModelVersionReference(name=conf.model_name, version=version, alias=conf.alias, uri=uri)


def _ensure_registered(name: str) -> None:
    from mlflow.exceptions import MlflowException

    if tracking.client().search_registered_models(f"name = '{name}'"):
        return
    try:
        tracking.client().create_registered_model(name)
    except MlflowException as error:
        # Another process may have made it meanwhile.
        if not is_code(error, "RESOURCE_ALREADY_EXISTS"):
            raise


def _logged(release: ReleaseReference, mlflow_run_id: str) -> str:
    from lopt import registry
    from lopt.loading import load

    optimizer = load(release.directory)
    return str(registry.log_model(optimizer, LOGGED_MODEL, run_id=mlflow_run_id).model_uri)


def _comparison(report: str) -> dict[str, str]:
    """Return as tags by how much the release differs from the baselines, none without a report."""
    if report == NO_REPORT:
        return {}
    from lopt.evaluation import Report
    from lopt.evaluation.choices import SINGLE
    from lopt.evaluation.words import gap_text, held_out_difference

    read = Report.read(Path(report))
    others = [name for name in read.optimizers if name != OURS]
    gaps = {name: held_out_difference(read, OURS, name, SINGLE) for name in others}
    return {
        f"{HELD_OUT_DIFFERENCE}{metric_name(name)}": gap_text(gap) for name, gap in gaps.items()
    }
