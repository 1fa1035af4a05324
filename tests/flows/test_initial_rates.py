"""Robustness over initial learning rates, evaluated by the flow beside other targets."""

from pathlib import Path

import pytest

from tests.flows.test_commands import run

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(600)]

TARGET = "initial_rates/papers/quadratic"


def test_every_optimizer_begins_at_all_rates_and_the_rest_of_the_report_is_the_same(
    evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lopt.evaluation import Report
    from lopt.evaluation.robustness import INITIAL_LEARNING_RATES
    from tasks import cells

    reference = evaluate("papers/quadratic", TARGET)
    report = Report.read(Path(reference.directory))
    apart = report.from_all_rates
    assert [(cell.target, cell.optimizer) for cell in apart] == [
        (TARGET, "learned"),
        (TARGET, "Adam"),
    ]
    assert {cell.learning_rates for cell in apart} == {INITIAL_LEARNING_RATES}
    assert {cell.losses.shape for cell in apart} == {(6, 2, 3)}
    assert report.ours == ("learned",)
    # Finished cells are found again, and by an evaluation without them, too.
    monkeypatch.setattr(cells, "_computed", None)
    assert evaluate("papers/quadratic", TARGET) == reference
    without = Report.read(Path(evaluate("papers/quadratic").directory))
    assert without.from_all_rates == ()
    for measure in report.measures:
        assert report.scores(measure) == without.scores(measure)


def test_reports_with_robustness_are_compared_by_the_flow(evaluate) -> None:
    from flows.compare_reports import compare_reports
    from lopt.evaluation import Report
    from tasks import tracking
    from tasks.tags import REPORT

    one = evaluate("papers/quadratic", TARGET)
    both = compare_reports([f"old={one.directory}", f"new={one.directory}"])
    report = Report.read(Path(both.directory))
    assert [cell.optimizer for cell in report.from_all_rates] == ["old", "new", "Adam"]
    client, query = tracking.client(), f"tags.`{REPORT}` = '{both.digest}'"
    (logged,) = client.search_runs([tracking.experiment_id()], query)
    files = {path.path for path in client.list_artifacts(logged.info.run_id, "report")}
    assert {"report/robustness.parquet", "report/report.html", "report/scores.md"} <= files
    plots = {path.path for path in client.list_artifacts(logged.info.run_id, "plots")}
    assert "plots/initial_rates_papers_quadratic.png" in plots
    assert "evaluation/area/initial_rates/papers/quadratic/new/worst_rate" in logged.data.metrics


def test_on_streamed_images_optimizers_begin_at_all_rates_too(evaluate) -> None:
    from lopt.evaluation import Report

    streamed = "initial_rates/encoded_digits@8/softmax"
    report = Report.read(Path(evaluate("papers/quadratic", streamed).directory))
    assert report.robustness_targets == (streamed,)


def test_wrong_names_are_refused_before_any_work(tmp_path: Path) -> None:
    wrong = ["initial_rates/digits/mpl", "initial_rates/held_out"]
    command = ("flows.evaluate_release", "--set", f"targets=[digits/mlp, {', '.join(wrong)}]")
    done = run(tmp_path / "home", *command, HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    for line, name in zip(done.stderr.splitlines(), wrong, strict=True):
        assert line.startswith(f"evaluation.targets: '{name}' is not allowed; allowed: held_out, ")
        assert line.endswith("before all but held_out may stand initial_rates/")
    assert not (tmp_path / "home" / "mlflow.db").exists()
