"""Reports of several releases put together as one, from folders and from MLflow."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task

from tasks import settings, tracking
from tasks.pairing import ours_alone
from tasks.references import ReportReference, short
from tasks.report_downloads import SourceError, download_report
from tasks.scores import FOLDER
from tasks.tags import RELEASE, RELEASE_DIGEST, SOURCE

if TYPE_CHECKING:
    from lopt.evaluation import Report


@task(name="merge-reports")
def merge_reports(sources: Sequence[str]) -> ReportReference:
    """Read reports from where they are, write one report of them all, and return that.

    A source is a folder, a URI of MLflow such as runs:/ID, or a model version such as
    models:/learned-optimizer/2, whose newest report it is; before it may stand NAME=, which
    is what its learned optimizer is called then. Raises `SourceError` for what is not there.
    """
    return _written(_reports(sources))


@task(name="pair-reports")
def pair_reports(sources: Sequence[str]) -> ReportReference:
    """Do the same without baselines, on every target that all releases were measured on.

    Raises `SourceError` for what is not there.
    """
    return _written({name: ours_alone(one) for name, one in _reports(sources).items()})


def _reports(sources: Sequence[str]) -> "dict[str, Report]":
    from lopt.evaluation import ReportError

    reports: dict[str, Report] = {}
    for source in sources:
        name, report = _read(source)
        if name in reports:
            raise ReportError(
                f"Two of the reports are called {name!r}, which tells them apart. Give them "
                f"names: NAME={source}."
            )
        reports[name] = report
    return reports


def _written(reports: "dict[str, Report]") -> ReportReference:
    from lopt.evaluation.merging import merged

    report = merged(reports)
    directory = settings.reports_root() / f"compared-{short(report.digest)}"
    report.write(directory)
    return ReportReference(directory=str(directory), digest=report.digest)


def _read(source: str) -> "tuple[str, Report]":
    from lopt.evaluation import Report

    name, given, place = source.partition("=")
    if not given or Path(source).exists():
        name, place = "", source
    with _folder(place) as folder:
        report = Report.read(folder)
    return name or _default_name(place, report), report


def _default_name(place: str, report: "Report") -> str:
    if place.startswith("models:/"):
        return place.removeprefix("models:/")
    return f"learned {report.facts.get('release', report.digest)[:8]}"


@contextmanager
def _folder(place: str) -> Iterator[Path]:
    """Give the folder of a report, copied from MLflow for as long as it is needed."""
    if ":/" not in place:
        yield Path(place)
        return
    with tempfile.TemporaryDirectory() as aside:
        yield download_report(_artifacts(place), Path(aside))


def _artifacts(place: str) -> str:
    """Return the URI of the files of a report, for one of a run or of a model version."""
    kind, _, rest = place.partition(":/")
    if kind == "models":
        return f"runs:/{_newest_run(place)}/{FOLDER}"
    if kind == "runs" and "/" not in rest.strip("/"):
        return f"runs:/{rest.strip('/')}/{FOLDER}"
    return place


def _newest_run(place: str) -> str:
    """Return the run that evaluated the release of a model version last."""
    digest = _release_digest(place)
    found = tracking.client().search_runs(
        [tracking.experiment_id()],
        f"tags.`{RELEASE}0` = '{digest}' and tags.`{SOURCE}` = 'evaluate-release' "
        "and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    if not found:
        raise SourceError(
            f"{place} is the release {digest[:12]}, of which MLflow has no report. Make one: "
            f"`python -m flows.evaluate_release --release {place}`."
        )
    return str(found[0].info.run_id)


def _release_digest(place: str) -> str:
    from mlflow.exceptions import MlflowException

    name, _, alias = place.removeprefix("models:/").partition("@")
    client = tracking.client()
    try:
        if alias:
            version = client.get_model_version_by_alias(name, alias)
        else:
            version = client.get_model_version(*name.rpartition("/")[::2])
    except MlflowException as error:
        raise SourceError(
            f"{place} is no model version in {settings.tracking_place()}: {error.message}"
        ) from error
    if RELEASE_DIGEST not in version.tags:
        raise SourceError(
            f"{place} is a model version without the tag {RELEASE_DIGEST}, so lopt has not "
            "published it. Name one that has it, the folder of a report, or runs:/ID of an "
            "evaluation."
        )
    return str(version.tags[RELEASE_DIGEST])
