"""What the page of a report holds, and that it needs nothing else."""

import dataclasses
import re

import numpy as np
import pytest

from lopt.evaluation import Failure, Report
from lopt.evaluation.interactive import POINTS, heat_map, loss_plot, profile_plot, speed_up_plot
from lopt.evaluation.interactive_rates import rates_plot
from lopt.evaluation.loss_curves import loss_curves
from lopt.evaluation.merging import merged
from lopt.evaluation.overview import overview_table
from lopt.evaluation.page import report_page
from lopt.evaluation.robustness import robustness

LOADED = re.compile(r"<(?:script|link|img|iframe)[^>]*\b(?:src|href)\s*=", re.IGNORECASE)


@pytest.fixture
def timed(report):
    """The report with the seconds of a step, a fact and something that failed."""
    cells = (
        dataclasses.replace(cell, seconds_per_step=1e-3, timed_together=8) for cell in report.cells
    )
    failures = (Failure("digits/<b>convnet", "Adam", "ValueError: </script>"),)
    return Report(tuple(cells), {"ensemble": "abc", "conf": '{"seeds": 5}'}, failures)


@pytest.fixture
def page(timed):
    return report_page(timed, {"command": "python -m flows.evaluate_release"})


def without_plotly(page):
    """The page but for plotly's program, which is its first script."""
    return re.sub(r"<script>.*?</script>", "", page, count=1, flags=re.DOTALL)


def test_the_page_needs_no_other_file_and_holds_plotly_once(page):
    assert LOADED.search(without_plotly(page)) is None
    assert page.count("plotly.js v") == 1
    assert len(without_plotly(page)) < 500_000


def test_the_page_says_what_was_tuned_what_is_missing_and_where_it_comes_from(page):
    for words in (
        "Ours was not tuned: it has its default initial learning rate, 0.001, on every target.",
        "the best of its 2 or 3 learning rates",
        "Missing: Adam on digits/&lt;b&gt;convnet (ValueError: &lt;/script&gt;).",
        "python -m flows.evaluate_release",
        "seeds = 5",
        "abc",
    ):
        assert words in page


def test_the_page_says_where_finished_cells_lie_that_are_not_in_it(report):
    facts = {"left_out": '{"Adam on digits/mlp": "cells/x"}', "release": "a"}
    without = Report(report.cells, facts)
    line = "Left out{}, though computed: Adam on digits/mlp (cells/x)."
    assert line.format("") in report_page(without, {})
    both = merged({"one": without, "two": report})
    assert line.format(" of one") in report_page(both, {})


def test_there_is_a_plot_of_each_target_and_three_of_all(page, timed):
    assert page.count('class="plotly-graph-div"') == len(timed.targets) + 3
    for target in timed.targets:
        # A slash may stand for itself in JSON, or be written by its number.
        assert f"{target}: median and quartiles" in page.replace("\\u002f", "/")


def test_names_cannot_end_a_script_or_begin_a_tag(timed):
    hostile = merged({"</script><script>x()": timed, "two": timed})
    text = without_plotly(report_page(hostile, {}))
    assert "<script>x()" not in text
    assert text.count("<script") == text.count("</script>")


def test_the_overview_has_ours_and_every_baseline_with_all_that_is_known(timed):
    table = overview_table(timed)
    assert table.columns == (
        "optimizer",
        "speed-up over Adam, steps",
        "speed-up over Adam, seconds",
        "at Adam's final loss",
        "area",
        "learned against it",
        "diverged",
    )
    assert len(table.rows) == 5
    ours, *_, adam = table.rows
    assert (ours[5], ours[6]) == ("", "0 of 15")
    assert adam[0] == "Adam (best per target)" or adam[0].startswith("Adam (best per target) at")
    assert adam[1] == "1.00x [1.00x, 1.00x]"
    assert adam[5].endswith(("better", "worse", "undecided"))


def test_without_adam_the_page_says_so(report):
    others = Report(tuple(cell for cell in report.cells if cell.optimizer != "Adam"))
    assert "Adam is not among the optimizers" in report_page(others, {})
    assert not any("Adam" in column for column in overview_table(others).columns)


def test_a_curve_and_its_band_are_hidden_together_and_every_curve_is_there(report):
    figure = loss_plot(report, "digits/mlp")
    bands, lines = figure.data[::2], figure.data[1::2]
    curves = list(loss_curves(report, "digits/mlp"))
    assert [line.name for line in lines] == [curve.label for curve in curves]
    assert [band.legendgroup for band in bands] == [line.legendgroup for line in lines]
    for line, curve in zip(lines, curves, strict=True):
        np.testing.assert_allclose(line.y, curve.middle, rtol=1e-6)


def test_seconds_are_offered_where_all_were_timed(report, timed):
    assert not loss_plot(report, "digits/mlp").layout.updatemenus
    (menu,) = loss_plot(timed, "digits/mlp").layout.updatemenus
    steps, seconds = (button.args[0]["x"] for button in menu.buttons)
    for one, other in zip(steps, seconds, strict=True):
        np.testing.assert_allclose(other, np.multiply(one, 1e-3), rtol=1e-3)


def test_a_long_curve_is_drawn_with_few_points_from_its_first_to_its_last(make_cell):
    cell = make_cell("a", "learned", (1e-3,), 0)
    long = dataclasses.replace(
        cell,
        steps=np.arange(100_001, dtype=np.int32),
        losses=np.ones((1, 5, 100_001), np.float32),
    )
    line = loss_plot(Report((long,)), "a").data[1]
    assert (len(line.x), line.x[0], line.x[-1]) == (POINTS, 0, 100_000)


def test_speed_ups_are_drawn_as_factors_with_their_intervals(timed):
    steps, seconds = speed_up_plot(timed).data
    means = [score for score in timed.scores("speed_up") if score.target == "mean"]
    np.testing.assert_allclose(steps.x, [2.0**score.value for score in means])
    np.testing.assert_allclose(steps.x, seconds.x)
    np.testing.assert_allclose(
        steps.x + np.array(steps.error_x.array), [2.0**score.high for score in means]
    )


def test_a_profile_falls_from_all_pairs_to_the_share_of_the_fastest(report):
    for line in profile_plot(report).data:
        assert line.y[0] == 1.0
        assert (np.diff(line.y) < 0).all()
        assert line.y[-1] >= 1 / 15


def test_every_measure_has_a_map_of_which_one_is_seen(report):
    figure = heat_map(report)
    assert len(figure.data) == len(report.measures)
    assert [bool(trace.visible) for trace in figure.data] == [True, *[False] * 4]
    (menu,) = figure.layout.updatemenus
    assert [sum(button.args[0]["visible"]) for button in menu.buttons] == [1] * 5


def test_the_brightest_of_a_row_is_the_best(report):
    for trace, measure in zip(heat_map(report).data, ("speed_up", "area"), strict=False):
        sign = 1.0 if measure == "speed_up" else -1.0
        scores = {(s.target, s.optimizer, s.choice): s.value for s in report.scores(measure)}
        for row, ranks in zip(trace.y, trace.z, strict=True):
            values = [sign * value for place, value in scores.items() if place[0] == row]
            assert np.argmax(ranks) == np.argmax(values)


def test_robustness_has_a_section_that_says_what_it_does_not_enter(report, with_rates):
    page, without = (report_page(one, {}) for one in (with_rates, report))
    for words in (
        "<h2 id='robustness'>",
        "It enters neither the overall score nor the choice of the best single rate nor the gate",
        "from 1e-06",
        "mean over the rates",
        "2 of 10",
    ):
        assert words in page
        assert words not in without
    plots = 'class="plotly-graph-div"'
    assert page.count(plots) == without.count(plots) + 1


def test_every_optimizer_has_its_scores_in_the_colour_that_it_has_elsewhere(with_rates):
    (target,) = with_rates.robustness_targets
    bands, lines = (rates_plot(with_rates, target).data[place::2] for place in (0, 1))
    curves = loss_plot(with_rates, "digits/mlp").data[1::2]
    colours = {line.name.partition(" (")[0]: line.line.color for line in curves}
    assert {line.name: line.line.color for line in lines} == colours
    assert [band.legendgroup for band in bands] == [line.legendgroup for line in lines]
    rows = robustness(with_rates.from_all_rates)
    drawn = [score for line in lines for score in line.y]
    np.testing.assert_allclose(drawn, [row.score for row in rows])
    assert [line.marker.symbol for line in lines] == [("circle",) * 2] * 2 + [("circle", "x")]
