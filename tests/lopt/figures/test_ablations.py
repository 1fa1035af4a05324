"""What figure 6 shows."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from lopt.evaluation import Report, ReportError
from lopt.figures import ablations

NAMES = ("full", "no attention", "no log objective")
TARGETS = ("digits/convnet", "held_out/bowls", "held_out/sums")


@pytest.fixture
def report(make_cell: Callable) -> Report:
    slopes = {"full": 1.0, "no attention": 0.2, "no log objective": 1.0, "Adam": 0.5}
    cells = [make_cell(t, name, slope=slope) for t in TARGETS for name, slope in slopes.items()]
    return Report(tuple(cells), {f"{name}/release": name for name in NAMES})


def test_what_is_worse_than_the_full_rule_lies_right_of_the_line(report):
    drawn = ablations(report, "full", "Ablations")
    _, right = drawn.figure.axes
    names = [label.get_text() for label in right.get_yticklabels()]
    assert names == ["no attention", "no log objective", "Adam"]
    means = [bars.lines[0].get_xdata() for bars in right.containers]
    assert all(found[0] > 0 for found in means)
    assert [bars.get_label() for bars in right.containers] == [
        "right: digits/convnet",
        "right: held_out",
    ]


def test_differences_are_those_of_the_report_turned_round(report):
    drawn = ablations(report, "full", "Ablations")
    expected = report.only("held_out/").differences("full", "area")
    by_name = {one.other: one for one in expected if one.target == "mean"}
    bars = drawn.figure.axes[1].containers[1]
    np.testing.assert_allclose(bars.lines[0].get_xdata(), [-one.value for one in by_name.values()])
    ends = np.array(bars.lines[2][0].get_segments())[:, :, 0]
    np.testing.assert_allclose(ends, [(-one.high, -one.low) for one in by_name.values()])
    table = drawn.tables["differences"].query("target == 'held_out'").set_index("other")
    assert table.loc["no attention", "value"] == pytest.approx(by_name["no attention"].value)


def test_a_target_whose_name_begins_as_another_s_is_one_of_its_own(make_cell, report):
    slopes = {"full": 0.2, "no attention": 1.0, "no log objective": 1.0, "Adam": 0.5}
    longer = tuple(make_cell("digits/convnet-6", name, slope=s) for name, s in slopes.items())
    alone = ablations(report, "full", "Ablations").tables["differences"]
    both = dataclasses.replace(report, cells=(*report.cells, *longer))
    beside = ablations(both, "full", "Ablations").tables["differences"]
    columns = ["other", "value", "low", "high"]
    first, again = (table.query("target == 'digits/convnet'")[columns] for table in (alone, beside))
    np.testing.assert_array_equal(first, again)


def test_the_curves_are_of_the_first_target_and_the_full_rule_stands_out(report):
    left, _ = ablations(report, "full", "Ablations").figure.axes
    widths = {line.get_label(): line.get_linewidth() for line in left.lines}
    assert widths.pop("full") > max(widths.values())
    assert left.get_title() == "digits/convnet"


def test_no_two_variants_have_one_colour(report):
    left, _ = ablations(report, "full", "Ablations").figure.axes
    colours = {line.get_label(): line.get_color() for line in left.lines}
    assert len(set(colours.values())) == len(report.optimizers)


def test_a_full_rule_that_is_not_there_is_refused(report):
    with pytest.raises(ReportError, match="No optimizer is called 'whole'"):
        ablations(report, "whole", "Ablations")
