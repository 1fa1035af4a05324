"""Laws of reports on disk: whole or not at all, and believed only if nothing changed."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lopt.evaluation import Failure, Report, ReportError
from lopt.evaluation.report_files import FILES, MANIFEST, ROBUSTNESS
from lopt.evaluation.robustness import robustness


def test_a_report_that_is_read_equals_the_one_written(report, tmp_path):
    again = Report.read(report.write(tmp_path / "report"))
    assert again.digest == report.digest
    assert again.facts == report.facts
    assert again.optimizers == report.optimizers
    for one, other in zip(report.cells, again.cells, strict=True):
        assert (one.target, one.optimizer) == (other.target, other.optimizer)
        assert one.learning_rates == other.learning_rates
        assert one.better == other.better
        assert one.seconds_per_step == other.seconds_per_step
        np.testing.assert_array_equal(one.losses, other.losses)
        np.testing.assert_array_equal(one.steps, other.steps)
        assert one.metrics.keys() == other.metrics.keys()
        for name, value in one.metrics.items():
            np.testing.assert_array_equal(value, other.metrics[name])


def test_a_report_without_metrics_round_trips(report, tmp_path):
    held_out = report.only("held_out/")
    assert Report.read(held_out.write(tmp_path / "report")).digest == held_out.digest


def test_a_report_keeps_what_has_failed(report, tmp_path):
    failure = Failure("digits/convnet", "Adam", "ValueError: of no use")
    failed = dataclasses.replace(report, failures=(failure,))
    again = Report.read(failed.write(tmp_path / "report"))
    assert again.failures == again.only("held_out/").failures == (failure,)
    assert again.digest == failed.digest != report.digest


def test_how_long_it_took_is_kept_and_changes_no_digest(report, tmp_path):
    timed = [
        dataclasses.replace(cell, seconds_per_step=1e-3, timed_together=8)
        for cell in report.cells[1:]
    ]
    slower = Report((report.cells[0], *timed), report.facts)
    assert slower.digest == report.digest
    again = Report.read(slower.write(tmp_path / "report"))
    assert [cell.seconds_per_step for cell in again.cells] == [None, *([1e-3] * 8)]
    times = pd.read_parquet(tmp_path / "report" / "times.parquet")
    assert [cell.timing for cell in again.cells] == [None, *([(1e-3, 8)] * 8)]
    assert list(times) == ["target", "optimizer", "seconds_per_step", "timed_together"]


def test_the_curves_are_a_long_table_that_anybody_can_read(report, tmp_path):
    curves = pd.read_parquet(report.write(tmp_path / "report") / "curves.parquet")
    assert list(curves) == ["target", "optimizer", "learning_rate", "seed", "step", "loss"]
    cell = report.of("Adam")[1]
    row = curves.query(
        "target == 'held_out/sums' and optimizer == 'Adam' and learning_rate == 0.01 "
        "and seed == 3 and step == 4"
    )
    assert row["loss"].tolist() == [cell.losses[1, 3, 2]]
    assert len(curves) == sum(cell.losses.size for cell in report.cells)


def test_the_scores_file_holds_every_score(report, tmp_path):
    scores = pd.read_parquet(report.write(tmp_path / "report") / "scores.parquet")
    expected = [score for measure in report.measures for score in report.scores(measure)]
    np.testing.assert_allclose(scores["value"], [score.value for score in expected])
    assert scores["target"].tolist() == [score.target for score in expected]


def test_writing_twice_does_nothing_the_second_time(report, tmp_path):
    directory = report.write(tmp_path / "report")
    before = {path.name: path.stat().st_mtime_ns for path in directory.iterdir()}
    assert report.write(directory) == directory
    assert {path.name: path.stat().st_mtime_ns for path in directory.iterdir()} == before


def test_nothing_that_is_there_is_overwritten(report, tmp_path):
    directory = report.write(tmp_path / "report")
    with pytest.raises(ReportError, match="holds another report"):
        report.only("held_out/").write(directory)
    assert Report.read(directory).digest == report.digest
    (tmp_path / "notes").mkdir()
    with pytest.raises(ReportError, match="holds something else"):
        report.write(tmp_path / "notes")


def test_two_that_write_the_same_report_at_once_both_succeed(report, tmp_path, monkeypatch):
    directory, rename = tmp_path / "report", Path.rename

    def overtaken(self, target):
        monkeypatch.setattr(Path, "rename", rename)
        report.write(directory)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", overtaken)
    assert report.write(directory) == directory
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_write_that_fails_leaves_nothing(report, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", fail)
    with pytest.raises(OSError, match="no space"):
        report.write(tmp_path / "report")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_refused_by_the_name_of_its_file(report, tmp_path, name):
    path = report.write(tmp_path / "report") / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ReportError, match=f"{name} is not what was written"):
        Report.read(tmp_path / "report")


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_missing_file_is_refused_by_its_name(report, tmp_path, name):
    (report.write(tmp_path / "report") / name).unlink()
    with pytest.raises(ReportError, match=name):
        Report.read(tmp_path / "report")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 1}, "of format 1"),
        ({"digest": "0" * 64}, "digest"),
        ({"facts": {"ensemble": "other"}}, "digest"),
        ({"failures": [{"target": "a", "optimizer": "b", "reason": "c"}]}, "digest"),
        ({"more": 1}, "must have the keys"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(report, tmp_path, change, message):
    path = report.write(tmp_path / "report") / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ReportError, match=message):
        Report.read(tmp_path / "report")


def test_a_manifest_that_is_not_json_is_refused(report, tmp_path):
    path = report.write(tmp_path / "report") / MANIFEST
    path.write_text("{")
    with pytest.raises(ReportError, match="not JSON"):
        Report.read(tmp_path / "report")


def test_cells_that_cannot_be_compared_make_no_report(report, make_cell):
    with pytest.raises(ReportError, match="every optimizer"):
        Report(report.cells[:-1])
    with pytest.raises(ReportError, match="every optimizer"):
        Report((*report.cells, report.cells[0]))
    with pytest.raises(ReportError, match="there are none"):
        Report(())
    with pytest.raises(ReportError, match="same learning rates"):
        Report((make_cell("a", "SGD", (0.1,), 0), make_cell("b", "SGD", (0.2,), 0)))


def test_unknown_names_are_refused_with_the_known_ones(report):
    with pytest.raises(ReportError, match=r"'Lion'.*learned, SGD, Adam"):
        report.of("Lion")
    with pytest.raises(ReportError, match=r"'nothing'.*digits/mlp"):
        report.only("nothing")


def test_what_begins_at_all_rates_enters_no_score_no_choice_and_no_count(report, with_rates):
    assert with_rates.targets == report.targets
    assert with_rates.optimizers == report.optimizers
    assert with_rates.ours == report.ours
    assert with_rates.measures == report.measures
    for measure in report.measures:
        assert with_rates.scores(measure) == report.scores(measure)
        assert with_rates.differences("learned", measure) == report.differences("learned", measure)
    assert with_rates.reachings() == report.reachings()
    assert with_rates.divergences() == report.divergences()


def test_what_begins_at_all_rates_is_written_and_read_with_a_row_for_each_rate(
    with_rates, tmp_path
):
    read = Report.read(with_rates.write(tmp_path / "report"))
    assert read.digest == with_rates.digest
    assert read.robustness_targets == ("initial_rates/digits/mlp",)
    assert robustness(read.from_all_rates) == robustness(with_rates.from_all_rates)
    rows = pd.read_parquet(tmp_path / "report" / ROBUSTNESS)
    np.testing.assert_allclose(
        rows["score"], [row.score for row in robustness(with_rates.from_all_rates)]
    )
    (tmp_path / "report" / ROBUSTNESS).write_bytes(b"")
    with pytest.raises(ReportError, match=f"{ROBUSTNESS} is not what was written"):
        Report.read(tmp_path / "report")


def test_a_cell_that_begins_at_all_rates_is_a_report_of_its_own(with_rates, tmp_path):
    alone = Report(with_rates.from_all_rates[:1])
    read = Report.read(alone.write(tmp_path / "cell"))
    assert (read.digest, read.targets, read.optimizers) == (alone.digest, (), ())
    assert read.cells[0].learning_rates == (1e-6, 1e-1)


def test_cells_that_begin_at_all_rates_are_a_grid_of_their_own(with_rates, make_cell):
    one_less = Report(with_rates.cells[:-1])
    assert one_less.optimizers == with_rates.optimizers
    with pytest.raises(ReportError, match="every optimizer"):
        Report((*with_rates.cells, make_cell("initial_rates/a", "SGD", (1e-6, 1e-1), 0)))
    names = {"initial_rates/a": (1e-6,), "initial_rates/b": (1e-5,)}
    apart = [make_cell(target, "SGD", rates, 0) for target, rates in names.items()]
    with pytest.raises(ReportError, match="same learning rates"):
        Report((*with_rates.compared, *apart))
