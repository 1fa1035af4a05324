"""What figures 2, 3 and 4 show."""

from collections.abc import Callable

import numpy as np
import pytest

from lopt.evaluation import Report
from lopt.figures import Drawn, training_curves

TARGETS = ("digits/mlp", "digits/convnet")


@pytest.fixture
def report(make_cell: Callable) -> Report:
    cells = [
        make_cell(target, *optimizer)
        for target in TARGETS
        for optimizer in (("learned",), ("old",), ("Adam", (1e-2,)), ("SGD", (1e-3, 1e-1)))
    ]
    return Report(tuple(cells), {"old/release": "o" * 64})


@pytest.fixture
def drawn(report: Report) -> Drawn:
    return training_curves(report, "Losses", {"digits/mlp": "same network"}, {"old": 100})


def test_there_is_a_panel_for_each_target_with_a_line_and_a_band_for_each_optimizer(drawn, report):
    assert len(drawn.figure.axes) == len(TARGETS)
    for axes in drawn.figure.axes:
        assert len(axes.collections) == len(report.optimizers)
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("inner step", "loss / initial loss")
        assert axes.get_yscale() == "log"
    titles = [axes.get_title() for axes in drawn.figure.axes]
    assert titles == ["same network\ndigits/mlp", "digits/convnet"]


def test_rates_are_in_the_legend_unless_they_are_a_learned_optimizer_s(drawn):
    (legend,) = drawn.figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == [
        "learned",
        "old",
        "Adam, 0.01",
        "SGD (best rate), 0.001†",
        "longest meta-training of old: 100 steps",
    ]


def test_the_longest_trajectory_of_meta_training_is_marked_and_said(drawn):
    for axes in drawn.figure.axes:
        assert [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"] == [100]
    assert "longest trajectory that old was meta-trained on" in drawn.caption


def test_the_table_behind_it_holds_every_recorded_loss(drawn, report):
    curves = drawn.tables["curves"]
    mine = curves.query("target == 'digits/mlp' and optimizer == 'Adam' and seed == 2")
    np.testing.assert_array_equal(mine["loss"], report.of("Adam")[0].losses[0, 2])
    assert len(curves) == sum(cell.losses.size for cell in report.cells)
