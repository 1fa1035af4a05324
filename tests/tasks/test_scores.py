import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks import scores, tracking
from tasks.score_page import score_page
from tasks.scores import metrics

if TYPE_CHECKING:
    from lopt.evaluation import Report

pytestmark = pytest.mark.filterwarnings("default")
MakeReport = Callable[..., "Report"]


def two_releases(make_report: MakeReport) -> "Report":
    from lopt.evaluation.merging import merged

    one = make_report((1e-3, 1e-2), {})
    return merged({"one": one, "version 2": one})


def test_every_score_is_a_metric_and_the_differences_of_ours(make_report: MakeReport) -> None:
    report = make_report((1e-3, 1e-2), {})
    names = metrics(report)
    assert {name.split("/")[1] for name in names} == {*report.measures, "difference"}
    assert "evaluation/speed_up/digits/mlp/adam/best_single_rate" in names
    assert "evaluation/difference/mean/adam/best_rate_per_target" in names


def test_mlflow_takes_the_names_of_all_kinds_of_targets(make_report: MakeReport) -> None:
    from mlflow.utils.validation import _validate_metric_name

    report = make_report((1e-3, 1e-2), {})
    streamed = [
        dataclasses.replace(cell, target=cell.target.replace("digits/", "encoded_digits@32/"))
        for cell in report.cells
    ]
    for name in metrics(dataclasses.replace(report, cells=tuple(streamed))):
        _validate_metric_name(name)


def test_robustness_is_metrics_and_a_part_of_the_markdown_page(make_report: MakeReport) -> None:
    from lopt.evaluation.robustness import over_rates

    report = make_report((1e-3, 1e-2), {})
    apart = [
        dataclasses.replace(cell, target="initial_rates/digits/mlp")
        for cell in report.of("Adam")[1:]
    ]
    robust = dataclasses.replace(report, cells=(*report.cells, *apart))
    (row,) = over_rates(apart)
    more = {name: value for name, value in metrics(robust).items() if "initial_rates" in name}
    assert more == {
        "evaluation/area/initial_rates/digits/mlp/adam/mean_over_rates": row.mean,
        "evaluation/area/initial_rates/digits/mlp/adam/worst_rate": row.worst.score,
    }
    assert metrics(robust) == metrics(report) | more
    page = score_page(robust)
    assert "## Robustness over initial learning rates\n\nHere every optimizer, ours too" in page
    assert "| initial_rates/digits/mlp | Adam | " in page
    assert "Robustness" not in score_page(report)


def test_several_releases_have_differences_of_their_own(make_report: MakeReport) -> None:
    names = metrics(two_releases(make_report))
    for ours, other in (("one", "version_2"), ("version_2", "one")):
        assert f"evaluation/difference/{ours}/mean/{other}/default_rate" in names


def test_more_metrics_than_mlflow_takes_at_once_are_all_logged(
    home: Path,
) -> None:
    values = {f"evaluation/{number}": float(number) for number in range(1201)}
    with tracking.tracked("evaluate-release", {}) as mlflow_run_id:
        tracking.log_metrics(mlflow_run_id, list(scores._batches(values)))
    assert tracking.client().get_run(mlflow_run_id).data.metrics == values
