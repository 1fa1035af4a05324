"""What figure 5 shows."""

from collections.abc import Callable

import numpy as np
import pytest

from lopt.figures import initial_rates

RATES = (1e-4, 1e-1, 1e-2)


def test_every_optimizer_has_its_score_at_every_rate_and_the_band_is_its_interval(make_cell):
    cells = [make_cell("bowl", name, RATES) for name in ("learned", "Adam")]
    drawn = initial_rates(cells, "Robustness")
    rows = drawn.tables["robustness"]
    (axes,) = drawn.figure.axes
    lines = {line.get_label(): line for line in axes.lines if line.get_linestyle() == "-"}
    assert list(lines) == ["learned", "Adam"]
    for (name, line), band in zip(lines.items(), axes.collections, strict=True):
        mine = rows[rows["optimizer"] == name].sort_values("learning_rate")
        np.testing.assert_allclose(line.get_xdata(), sorted(RATES))
        np.testing.assert_allclose(line.get_ydata(), mine["score"])
        heights = band.get_paths()[0].vertices[:, 1]
        assert heights.min() == pytest.approx(mine["low"].min())
        assert heights.max() == pytest.approx(mine["high"].max())


def test_rates_at_which_something_diverged_are_crossed_out_and_counted(make_cell):
    cell = make_cell("bowl", "Adam", RATES)
    cell.losses[1, :2, 4:] = np.inf
    drawn = initial_rates([cell], "Robustness")
    crosses = [line for line in drawn.figure.axes[0].lines if line.get_marker() == "x"]
    np.testing.assert_allclose([x for line in crosses for x in line.get_xdata()], [1e-1])
    ((*_, lost),) = drawn.summary.rows
    assert lost == "2"


def test_what_was_evaluated_at_one_rate_only_is_refused(make_cell: Callable):
    with pytest.raises(ValueError, match=r"'Adam' has the learning rate 0\.01 only"):
        initial_rates([make_cell("bowl", "Adam", (1e-2,))], "Robustness")
