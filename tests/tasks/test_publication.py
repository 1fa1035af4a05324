import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tasks import publication, tracking
from tasks.confs import DEFAULTS
from tasks.promotion import VersionError
from tasks.publication import (
    NO_REPORT,
    NoReportError,
    find_report,
    move_alias,
    register_release,
)
from tasks.references import ModelVersionReference, ReleaseReference
from tasks.releases import find_release

if TYPE_CHECKING:
    from lopt.evaluation import Report

pytestmark = pytest.mark.filterwarnings("default")
MakeReport = Callable[..., "Report"]
CHAMPION = "models:/learned-optimizer@champion"


def registered(release: ReleaseReference, report: str = NO_REPORT) -> ModelVersionReference:
    with tracking.tracked("publish-release", {}) as mlflow_run_id:
        return register_release.fn(DEFAULTS.publication, release, report, mlflow_run_id)


def fail(*arguments: Any) -> None:
    raise ConnectionError("the registry is away")


def champion() -> int:
    found = tracking.client().get_model_version_by_alias("learned-optimizer", "champion")
    return int(found.version)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("uri", ["{model_uri}", "runs:/{mlflow_run_id}/optimizer", CHAMPION])
def test_what_is_published_by_any_uri_can_be_loaded(trained: ReleaseReference, uri: str) -> None:
    from lopt import registry
    from lopt.loading import load

    with tracking.tracked("meta-train", {}) as mlflow_run_id:
        info = registry.log_model(load(trained.directory), "optimizer", run_id=mlflow_run_id)
    move_alias.fn(registered(trained), trained)
    release = find_release.fn(uri.format(model_uri=info.model_uri, mlflow_run_id=mlflow_run_id))
    move_alias.fn(registered(release), release)
    assert champion() == 2
    assert load(CHAMPION).provenance == load(trained.directory).provenance


@pytest.mark.usefixtures("home")
def test_the_alias_stays_where_it_is_if_the_new_version_cannot_be_loaded(
    trained: ReleaseReference,
) -> None:
    move_alias.fn(registered(trained), trained)
    version = registered(trained)
    source = tracking.client().get_model_version("learned-optimizer", "2").source
    artifacts = tracking.client().get_logged_model(source.removeprefix("models:/"))
    shutil.rmtree(Path(artifacts.artifact_location.removeprefix("file://")))
    with pytest.raises(
        VersionError, match=r"models:/learned-optimizer/2 cannot be loaded, so the alias stays"
    ):
        move_alias.fn(version, trained)
    assert champion() == 1


@pytest.mark.usefixtures("home")
def test_an_alias_that_is_moved_at_the_second_try_leaves_one_version(
    trained: ReleaseReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    version = registered(trained)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_registered_model_alias", fail)
        with pytest.raises(ConnectionError):
            move_alias.fn(version, trained)
    move_alias.fn(version, trained)
    versions = tracking.client().search_model_versions("name = 'learned-optimizer'")
    assert [int(one.version) for one in versions] == [1]
    assert champion() == 1


@pytest.mark.usefixtures("home")
def test_a_release_that_is_registered_at_the_second_try_is_one_version_with_a_card(
    trained: ReleaseReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(publication, "_write_card", fail)
        with pytest.raises(ConnectionError):
            registered(trained)
    # As Prefect says of a second attempt.
    monkeypatch.setenv("PREFECT__RUNTIME__TASK_RUN__RUN_COUNT", "2")
    assert registered(trained).version == 1
    (version,) = tracking.client().search_model_versions("name = 'learned-optimizer'")
    assert "lopt.load" in version.description


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    "length", [10, publication.LONGEST_CARD - 20, 2 * publication.LONGEST_CARD]
)
def test_a_card_is_never_longer_than_mlflow_takes_and_what_is_said_last_is_there(
    trained: ReleaseReference, length: int
) -> None:
    version = registered(trained)
    for text in ("x" * length, "y" * length):
        publication.append_to_card(version, "## Gate", text)
        card = tracking.client().get_model_version(version.name, str(version.version)).description
        assert len(card) <= publication.LONGEST_CARD
        assert f"## Gate\n\n{text[:10]}" in card


@pytest.mark.usefixtures("home")
def test_a_model_that_another_process_registers_meanwhile_gets_the_version(
    trained: ReleaseReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    tracking.client().create_registered_model("learned-optimizer")

    def none_yet(*arguments: Any) -> list[Any]:
        return []

    monkeypatch.setattr(MlflowClient, "search_registered_models", none_yet)
    assert registered(trained).version == 1


def written(report: "Report", release: ReleaseReference, home: Path, name: str) -> str:
    return str(report.write(home / "reports" / f"{release.digest[:16]}-{name}"))


def test_a_report_of_another_release_is_refused(
    home: Path, trained: ReleaseReference, make_report: MakeReport
) -> None:
    other = trained.model_copy(update={"digest": "f" * 64})
    named = written(make_report((1e-3,), {"release": trained.digest}), trained, home, "a")
    assert find_report(named, trained) == named
    with pytest.raises(NoReportError) as error:
        find_report(named, other)
    message = str(error.value)
    assert f"{named} is a report of the release {trained.digest[:12]}" in message
    assert f"not of {other.digest[:12]}" in message
    assert "python -m flows.evaluate_release" in message


def test_a_report_of_baselines_alone_is_refused(
    home: Path, trained: ReleaseReference, make_report: MakeReport
) -> None:
    named = written(make_report((1e-3,), {}), trained, home, "a")
    with pytest.raises(NoReportError, match="is a report of no release"):
        find_report(named, trained)


def test_the_newest_report_of_the_release_is_found(
    home: Path, trained: ReleaseReference, make_report: MakeReport
) -> None:
    assert find_report("latest", trained) == NO_REPORT
    for name in ("b", "a"):
        found = written(make_report((1e-3,), {"release": trained.digest}), trained, home, name)
    assert find_report("latest", trained) == found


def test_the_version_says_how_it_compares_with_baselines_of_one_rate(
    home: Path, trained: ReleaseReference, make_report: MakeReport
) -> None:
    named = written(make_report((1e-3,), {"release": trained.digest}), trained, home, "a")
    version = registered(trained, named)
    tags = tracking.client().get_model_version(version.name, str(version.version)).tags
    assert tags["held_out_difference.adam"].startswith("+")
