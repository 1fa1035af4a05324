"""Whoever looks at the meta-losses sees all of them, however many families there are."""

from itertools import pairwise

import numpy as np
import pytest

from tasks.curves import PREFIX, VALIDATION, Curves, meta_loss_figure


def curves(families: int) -> Curves:
    rng = np.random.default_rng(0)
    names = [PREFIX, VALIDATION, *(f"{PREFIX}/mlp_11_10_12_{i}" for i in range(families))]
    return {name: [(step, float(rng.normal())) for step in range(0, 50, 10)] for name in names}


@pytest.mark.parametrize("families", [1, 10, 11, 31, 60])
def test_the_curves_have_most_of_the_picture_and_no_name_is_cut_off(families: int) -> None:
    figure = meta_loss_figure(curves(families))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    whole, inner = figure.bbox, axes.get_window_extent()
    assert inner.width * inner.height > 0.6 * whole.width * whole.height
    (legend,) = figure.legends or [axes.get_legend()]
    box = legend.get_window_extent()
    assert whole.x0 <= box.x0 < box.x1 <= whole.x1
    assert whole.y0 <= box.y0 < box.y1 <= whole.y1
    assert len(legend.get_texts()) == families + 2
    if families > 10:
        assert box.x0 >= inner.x1


def test_many_families_are_named_in_the_order_in_which_their_curves_end() -> None:
    figure = meta_loss_figure(curves(31))
    ends = [float(line.get_ydata()[-1]) for line in figure.axes[0].get_lines()][2:]
    assert all(one >= other for one, other in pairwise(ends))
