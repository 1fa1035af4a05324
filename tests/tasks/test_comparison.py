from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks import report_downloads, tracking
from tasks.comparison import merge_reports
from tasks.report_downloads import SourceError, download_report

if TYPE_CHECKING:
    from lopt.evaluation import Report

pytestmark = [pytest.mark.usefixtures("home"), pytest.mark.filterwarnings("default")]
FIRST, SECOND = "a" * 64, "b" * 64


@pytest.fixture
def folders(make_report: "Callable[..., Report]", tmp_path: Path) -> list[str]:
    """Reports of two releases on the same problems."""
    from lopt.evaluation import Report

    cells = make_report((1e-3, 1e-2), {}).cells
    return [
        str(Report(cells, {"release": digest}).write(tmp_path / digest[:3]))
        for digest in (FIRST, SECOND)
    ]


def optimizers(*sources: str) -> tuple[str, ...]:
    from lopt.evaluation import Report

    return Report.read(Path(merge_reports.fn(sources).directory)).ours


def logged(folder: str, digest: str) -> str:
    """Log a report as an evaluation does; the run's id."""
    with tracking.tracked("evaluate-release", {}) as mlflow_run_id:
        tracking.log_files(mlflow_run_id, sorted(Path(folder).iterdir()), "report")
        tracking.set_tags(mlflow_run_id, {"release.0": digest})
    return mlflow_run_id


def registered(digest: str) -> None:
    """Register a version that says its release's digest, under the alias "champion"."""
    client = tracking.client()
    if not client.search_registered_models():
        client.create_registered_model("learned-optimizer")
    version = client.create_model_version(
        "learned-optimizer", "file:///nowhere", tags={"release_digest": digest}
    )
    client.set_registered_model_alias("learned-optimizer", "champion", version.version)


def test_a_release_is_called_by_its_digest_or_as_one_says(folders: list[str]) -> None:
    assert optimizers(folders[0], folders[1]) == ("learned aaaaaaaa", "learned bbbbbbbb")
    assert optimizers(f"old={folders[0]}", f"new={folders[1]}") == ("old", "new")


def test_reports_are_found_by_the_run_that_logged_them(folders: list[str]) -> None:
    run = logged(folders[0], FIRST)
    for uri in (f"runs:/{run}", f"runs:/{run}/report"):
        assert optimizers(uri, f"new={folders[1]}") == ("learned aaaaaaaa", "new")


def test_a_model_version_stands_for_the_newest_finished_report_of_its_release(
    folders: list[str],
) -> None:
    from lopt.evaluation import Report

    registered(FIRST)
    older, newer = folders[1], folders[0]
    logged(older, FIRST)
    logged(newer, FIRST)
    tracking.client().set_terminated(logged(older, FIRST), "FAILED")
    found = Report.read(Path(merge_reports.fn(["models:/learned-optimizer/1"]).directory))
    assert found.facts["learned-optimizer/1/release"] == FIRST


def test_a_model_version_is_named_as_it_was_asked_for(folders: list[str]) -> None:
    for folder, digest in zip(folders, (FIRST, SECOND), strict=True):
        logged(folder, digest)
        registered(digest)
    sources = ("models:/learned-optimizer/1", "models:/learned-optimizer@champion")
    assert optimizers(*sources) == ("learned-optimizer/1", "learned-optimizer@champion")


def test_merging_twice_is_one_folder(folders: list[str]) -> None:
    assert merge_reports.fn(folders) == merge_reports.fn(folders)


def test_what_is_not_there_is_said_with_what_to_do(folders: list[str]) -> None:
    from lopt.evaluation import ReportError

    registered(FIRST)
    for source, words in (
        ("runs:/" + "0" * 32, "Name the folder of a report, runs:/ID"),
        ("models:/nothing/1", "is no model version in sqlite"),
        ("models:/learned-optimizer/1", "flows.evaluate_release --release models:/learned"),
    ):
        with pytest.raises(SourceError, match=words):
            merge_reports.fn([source, folders[0]])
    with pytest.raises(ReportError, match=r"no report: it has no report\.json"):
        merge_reports.fn(["nowhere", folders[0]])


def test_two_reports_of_one_name_are_refused(folders: list[str]) -> None:
    from lopt.evaluation import ReportError

    with pytest.raises(ReportError, match="Two of the reports are called 'learned aaaaaaaa'"):
        merge_reports.fn([folders[0], folders[0]])


def test_only_what_is_read_of_a_report_is_fetched(folders: list[str], tmp_path: Path) -> None:
    (Path(folders[0]) / "report.html").write_text("a large page")
    aside = download_report(f"runs:/{logged(folders[0], FIRST)}/report", tmp_path / "aside")
    there = {path.name for path in Path(folders[0]).iterdir()}
    assert {path.name for path in aside.iterdir()} == there - {"report.html"}


def test_a_report_that_is_too_large_is_refused_before_anything_is_fetched(
    folders: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = max((Path(folders[0]) / "curves.parquet").stat().st_size, 1)
    monkeypatch.setattr(report_downloads, "LARGEST_FILE", largest - 1)
    aside = tmp_path / "aside"
    with pytest.raises(SourceError, match=rf"curves\.parquet has {largest} bytes, and the limit"):
        download_report(f"runs:/{logged(folders[0], FIRST)}/report", aside)
    assert not aside.exists()


def test_a_folder_without_a_report_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no report")
    with tracking.tracked("evaluate-release", {}) as run:
        tracking.log_files(run, [tmp_path / "notes.txt"], "report")
    with pytest.raises(SourceError, match=r"is no report: it has no report\.json"):
        download_report(f"runs:/{run}/report", tmp_path / "aside")
