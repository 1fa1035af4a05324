"""A chosen learning rate at an end of those tried is marked wherever it is shown, no other is."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lopt.evaluation import Report
from lopt.evaluation.choices import at_end
from lopt.evaluation.loss_curves import loss_curves
from lopt.evaluation.overview import overview_table
from lopt.evaluation.page import report_page
from lopt.evaluation.plots import loss_figure
from lopt.evaluation.tables import score_table
from lopt.evaluation.words import sweep_ends
from lopt.figures.training_curves import training_curves

RATES = (0.001, 0.01, 0.1)
TARGETS = ("held_out/bowls", "held_out/sums", "digits/mlp")


@pytest.fixture
def best_at(make_cell):
    """A function that makes a report of ours and of Adam, which is best at these places."""

    def make(*places, rates=RATES):
        cells = []
        for target, place in zip(TARGETS, places, strict=True):
            ours, adam = (
                make_cell(target, "learned", (1e-3,), 0),
                make_cell(target, "Adam", rates, 0),
            )
            adam.losses[...] = 1.0
            adam.losses[place, :, 1:] = 0.1
            cells += [ours, adam]
        return Report(tuple(cells))

    return make


def shown(report):
    """Every text of a table or a plot in which a chosen rate may stand."""
    for table in (score_table(report.scores("area")), overview_table(report)):
        yield from (cell for row in table.rows for cell in row)
    for target in report.targets:
        yield from (curve.label for curve in loss_curves(report, target))


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=8, unique=True), st.data())
def test_a_rate_is_at_an_end_if_those_tried_are_all_on_one_side_of_it(tried, data):
    rate = data.draw(st.sampled_from(tried))
    others = [other for other in tried if other != rate]
    one_side = all(other > rate for other in others) or all(other < rate for other in others)
    assert at_end(rate, tried) == (bool(others) and one_side)


@pytest.mark.parametrize("places", [(0, 1, 2), (1, 1, 1), (2, 2, 1), (0, 0, 0)])
def test_the_mark_stands_after_the_chosen_rates_at_an_end_and_after_no_others(best_at, places):
    texts = list(shown(best_at(*places)))
    rates = [found for text in texts for found in re.findall(r"(?: at|\),) ([\d.]+)(†?)", text)]
    assert rates
    assert all(bool(mark) == (float(rate) in {0.001, 0.1}) for rate, mark in rates)
    assert sum(text.count("†") for text in texts) == sum(bool(mark) for _, mark in rates)


@pytest.mark.parametrize(
    ("places", "single", "tuned"), [((0, 1, 1), 0, 1), ((1, 1, 1), 0, 0), ((2, 2, 1), 1, 2)]
)
def test_a_sentence_says_how_many_of_how_many_choices_lie_at_an_end(best_at, places, single, tuned):
    report = best_at(*places)
    (sentence,) = sweep_ends(report)
    counts = f"{single} of 1 best single rates and {tuned} of 3 best rates for a target"
    assert counts in sentence
    assert sentence in report_page(report, {})


def test_the_tables_on_disk_have_the_mark_as_a_column(best_at, tmp_path):
    directory = best_at(0, 1, 2).write(tmp_path / "report")
    for name in ("scores", "reachings"):
        rows = pd.read_parquet(directory / f"{name}.parquet")
        ends = (rows["optimizer"] == "Adam") & rows["learning_rate"].isin([0.001, 0.1])
        np.testing.assert_array_equal(rows["at_end"], ends)


def test_of_one_rate_nothing_is_marked_and_nothing_said(best_at):
    report = best_at(0, 0, 0, rates=(0.01,))
    assert sweep_ends(report) == []
    assert "†" not in "".join(shown(report))
    assert not any(score.at_end for score in report.scores("area"))


@pytest.mark.parametrize(("places", "marked"), [((1, 1, 1), False), ((2, 2, 2), True)])
def test_a_picture_says_what_the_mark_is_where_it_has_one(best_at, places, marked):
    report = best_at(*places)
    (legend,) = loss_figure(report, "digits/mlp").legends
    words = "† least or greatest rate tried"
    assert legend.get_title().get_text() == (words if marked else "")
    assert (words in training_curves(report, "Three problems").caption) == marked
