"""Laws of reports that are made of several: what is paired is kept, what is not is refused."""

import dataclasses

import numpy as np
import pytest

from lopt.evaluation import Report, ReportError
from lopt.evaluation.failures import Failure
from lopt.evaluation.merging import merged


def again(report, change=lambda cell: cell, **facts):
    """Another evaluation on the same problems, with another learned optimizer."""

    def changed(cell):
        losses = np.array(cell.losses)
        if cell.optimizer == "learned":
            losses[:, :, 1:] *= 0.5
        return change(dataclasses.replace(cell, losses=losses))

    return Report(tuple(map(changed, report.cells)), {**report.facts, **facts})


def replacing(**changes):
    """A change of all cells."""
    return lambda cell: dataclasses.replace(cell, **changes)


def test_every_learned_optimizer_and_each_baseline_once_is_in_what_is_merged(report):
    both = merged({"one": report, "two": again(report)})
    assert both.optimizers == ("one", "two", "SGD", "Adam")
    assert both.ours == ("one", "two")
    assert both.targets == report.targets


def test_one_report_alone_is_that_report_by_its_name(report):
    one = merged({"one": report})
    assert one.optimizers == ("one", "SGD", "Adam")
    assert [cell.losses.tobytes() for cell in one.cells] == [
        report.cells[place].losses.tobytes() for place in range(len(report.cells))
    ]
    with pytest.raises(ReportError, match="there are none"):
        merged({})


def test_scores_are_those_of_the_reports(report):
    other = again(report)
    both = merged({"one": report, "two": other})
    scores = {(one.optimizer, one.target, one.choice): one.value for one in both.scores("speed_up")}
    for name, single in (("one", report), ("two", other)):
        for score in single.scores("speed_up"):
            if score.optimizer == "learned":
                assert scores[name, score.target, score.choice] == score.value


def test_releases_are_compared_with_each_other_seed_by_seed(report):
    both = merged({"one": report, "two": again(report)})
    gaps = [gap for gap in both.differences("two", "final") if gap.other == "one"]
    assert {gap.verdict for gap in gaps} == {"better"}
    np.testing.assert_allclose([gap.value for gap in gaps], np.log10(0.5), atol=1e-4)


def test_facts_say_whose_they_are(report):
    both = merged({"one": report, "two": again(report, release="22")})
    assert both.facts == {
        "one/ensemble": "abc",
        "one/release": "unknown",
        "two/ensemble": "abc",
        "two/release": "22",
    }


def test_merging_step_by_step_gives_the_same_as_at_once(report):
    reports = {"one": report, "two": again(report), "three": again(again(report))}
    at_once = merged(reports)
    first = merged({name: reports[name] for name in ("one", "two")})
    assert merged({"both": first, "three": reports["three"]}).digest == at_once.digest


def test_a_merged_report_is_written_and_read_as_any_other(report, tmp_path):
    both = merged({"one": report, "two": again(report)})
    read = Report.read(both.write(tmp_path / "both"))
    assert (read.digest, read.ours) == (both.digest, ("one", "two"))


def test_a_report_may_hold_baselines_alone(report):
    for cell in report.cells:
        cell.losses[:, :, 0] = 1.0
    learned, others = (
        Report(tuple(cell for cell in report.cells if (cell.optimizer == "learned") == ours))
        for ours in (True, False)
    )
    both = merged({"ours": learned, "theirs": others})
    assert both.optimizers == ("ours", "SGD", "Adam")


def test_targets_that_one_report_lacks_are_left_out_and_named(report):
    part = again(report.only("held_out/"))
    both = merged({"one": report, "two": part})
    assert both.targets == part.targets
    assert both.failures == (Failure("digits/mlp", "two", "is not in this report"),)


def test_what_failed_is_kept_under_the_new_name(report):
    failure = Failure("digits/convnet", "learned", "out of memory")
    both = merged({"one": dataclasses.replace(report, failures=(failure,)), "two": again(report)})
    assert both.failures == (Failure("digits/convnet", "one", "out of memory"),)


def test_the_rounding_of_another_machine_does_not_part_reports(report):
    def rounded(cell):
        return dataclasses.replace(cell, losses=cell.losses * np.float32(1 + 1e-5))

    assert merged({"one": report, "two": again(report, rounded)}).ours == ("one", "two")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda cell: cell.at(0), "SGD has 2 learning rates in 'one' .* and 1 in 'two'"),
        (replacing(steps=np.arange(5, dtype=np.int32)), r"other recorded steps \(5 up to 8; 5 up"),
        (
            lambda cell: dataclasses.replace(cell, losses=cell.losses[:, :4], metrics={}),
            "have 5 and 4 seeds",
        ),
        (
            lambda cell: dataclasses.replace(cell, losses=cell.losses[:, ::-1]),
            "begin at other losses .* at seed 0.* on held_out/bowls",
        ),
        (
            lambda cell: dataclasses.replace(cell, target="x" + cell.target),
            r"no target in common \(held_out/bowls, .*; xheld_out/bowls",
        ),
        (replacing(metrics={}, better={}), r"have other metrics \(test_accuracy; none\)"),
    ],
    ids=["rates", "steps", "seeds", "begin", "targets", "metrics"],
)
def test_what_cannot_be_paired_is_refused_with_what_differs(report, change, message):
    with pytest.raises(ReportError, match=message):
        merged({"one": report, "two": again(report, change)})


def test_names_that_are_taken_are_refused(report):
    with pytest.raises(ReportError, match="'Adam', for another optimizer"):
        merged({"one": report, "Adam": again(report)})
    both = merged({"one": report, "two": again(report)})
    with pytest.raises(ReportError, match="'one' is in 'both' and in 'one'"):
        merged({"both": both, "one": again(report)})


def test_robustness_over_initial_rates_is_merged_with_the_rest(with_rates):
    both = merged({"one": with_rates, "two": again(with_rates)})
    assert both.robustness_targets == with_rates.robustness_targets
    assert [cell.optimizer for cell in both.from_all_rates] == ["one", "two", "SGD", "Adam"]
    assert both.failures == ()


def test_robustness_that_one_report_lacks_is_left_out_and_named(report, with_rates):
    both = merged({"one": with_rates, "two": again(report)})
    assert both.robustness_targets == ()
    assert both.scores("area") == merged({"one": report, "two": again(report)}).scores("area")
    assert both.failures == (Failure("initial_rates/digits/mlp", "two", "is not in this report"),)


def test_robustness_over_other_rates_or_of_other_problems_is_not_merged(with_rates):
    def changed(change):
        apart = tuple(map(change, with_rates.from_all_rates))
        return dataclasses.replace(with_rates, cells=(*with_rates.compared, *apart))

    for change, message in (
        (lambda cell: cell.at(0), "has 2 learning rates in 'one' .* and 1 in 'two'"),
        (
            lambda cell: dataclasses.replace(cell, losses=cell.losses[:, ::-1]),
            "begin at other losses .* on initial_rates/digits/mlp",
        ),
    ):
        with pytest.raises(ReportError, match=message):
            merged({"one": with_rates, "two": changed(change)})
