"""Publishing a release in MLflow's model registry."""

from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact

from tasks import run_folders, settings, tracking
from tasks.confs import PublicationConf
from tasks.errors import may_pass
from tasks.evaluation import OURS
from tasks.references import ModelVersionReference, ReleaseReference
from tasks.score_page import score_page
from tasks.score_table import SINGLE, gap_text, held_out_difference
from tasks.scores import metric_name

MODEL_NAME = "optimizer"
NO_REPORT = "none"


class NoReportError(LookupError):
    """There is no report of a release."""


@task(name="register-release", retries=1, retry_delay_seconds=5, retry_condition_fn=may_pass)
def register_release(
    conf: PublicationConf, release: ReleaseReference, report: str, mlflow_run_id: str
) -> ModelVersionReference:
    """Make the release a version of the registered model."""
    from lopt.loading import load
    from lopt.model_card import model_card

    optimizer = load(release.directory)
    uri = release.model_uri or _logged(release, mlflow_run_id)
    client = tracking.client()
    _ensure_registered(conf.model_name)
    version = client.create_model_version(
        conf.model_name,
        uri,
        run_id=release.mlflow_run_id,
        tags={"release_digest": release.digest, **_comparison(report)},
        description=model_card(optimizer),
        model_id=_model_id(uri),
    )
    return ModelVersionReference(
        name=conf.model_name,
        version=int(version.version),
        alias=conf.alias,
        uri=f"models:/{conf.model_name}@{conf.alias}",
    )


# A task of its own: when it is tried again, the release is not registered a second time.
@task(name="move-alias", retries=1, retry_delay_seconds=5, retry_condition_fn=may_pass)
def move_alias(version: ModelVersionReference, release: ReleaseReference) -> None:
    """Move the alias to the version; with that the release is published."""
    tracking.client().set_registered_model_alias(version.name, version.alias, str(version.version))
    run_folders.note_published(Path(release.directory))


@task(name="announce-version")
def announce(version: ModelVersionReference, report: str) -> None:
    """Show in Prefect what was published and how it compares."""
    text = f"# {version.name} version {version.version} is now {version.alias}\n\n"
    if report != NO_REPORT:
        from lopt.evaluation import Report

        text += score_page(Report.read(Path(report)), OURS)
    else:
        text += "No report of this release was found: nothing is known of how it compares.\n"
    create_markdown_artifact(text, key="published", description=version.uri)


def find_report(report: str, release: ReleaseReference) -> str:
    """Return the folder of a report: the newest one of the release, or the one that is named.

    "none" where "latest" finds none. Raises `NoReportError` for a folder that is no report.
    """
    if report != "latest":
        if not (Path(report) / "report.json").is_file():
            raise NoReportError(f"{report} is no report. Run `python -m flows.evaluate_release`.")
        return report
    found = settings.reports_root().glob(f"{release.digest[:16]}-*")
    newest = max(found, key=lambda path: path.stat().st_mtime_ns, default=None)
    return NO_REPORT if newest is None else str(newest)


def _ensure_registered(name: str) -> None:
    if not tracking.client().search_registered_models(f"name = '{name}'"):
        tracking.client().create_registered_model(name)


def _model_id(uri: str) -> str | None:
    """Return the id of a logged model, `None` for a URI that names something else."""
    model_id = uri.removeprefix("models:/")
    return model_id if model_id.startswith("m-") and "/" not in model_id else None


def _logged(release: ReleaseReference, mlflow_run_id: str) -> str:
    from lopt import registry
    from lopt.loading import load

    optimizer = load(release.directory)
    return str(registry.log_model(optimizer, MODEL_NAME, run_id=mlflow_run_id).model_uri)


def _comparison(report: str) -> dict[str, str]:
    """Return as tags by how much the release differs from the baselines, none without a report."""
    if report == NO_REPORT:
        return {}
    from lopt.evaluation import Report

    read = Report.read(Path(report))
    others = [name for name in read.optimizers if name != OURS]
    gaps = {name: held_out_difference(read, OURS, name, SINGLE) for name in others}
    return {f"held_out_difference.{metric_name(name)}": gap_text(gap) for name, gap in gaps.items()}
