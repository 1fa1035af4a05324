"""Every problem of two scalars has one landscape, which is the function itself."""

import io

import jax
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lopt.ensemble_report import in_the_plane, measure, survey
from lopt.ensemble_report.landscape_figures import (
    LEVELS,
    contour_levels,
    landscape_figures,
    title,
)
from lopt.ensembles import draw_ensemble


def test_every_entry_of_two_scalars_is_in_exactly_one_landscape(drawn):
    indices = [row.index for landscape in drawn.landscapes for row in landscape.rows]
    assert sorted(indices) == [0, 1, 2, 3, 4, 5, 6]


def test_entries_that_differ_in_their_gradients_only_share_a_landscape(drawn):
    together = {tuple(row.index for row in landscape.rows) for landscape in drawn.landscapes}
    assert together == {(0, 1), (2,), (3, 4), (5,), (6,)}


def test_the_losses_on_the_grid_and_at_the_starts_are_those_of_the_formula(drawn):
    (booth,) = [one for one in drawn.landscapes if one.rows[0].index == 0]
    grid = np.meshgrid(booth.x, booth.y)
    for points, losses in ((grid, booth.losses), (booth.starts.T, booth.start_losses)):
        x, y = np.float64(points)
        expected = (x + 2 * y - 7) ** 2 + (2 * x + y - 5) ** 2
        np.testing.assert_allclose(losses, expected, rtol=1e-4, atol=1e-3)


def test_padding_is_no_axis_of_a_landscape(drawn):
    (padded,) = [one for one in drawn.landscapes if one.rows[0].index == 6]
    problem = padded.rows[0].build()
    matrix, target = np.asarray(problem.matrix)[:2, :2], np.asarray(problem.target)[:2]
    corner = np.array([[padded.x[-1]], [padded.y[0]]])
    expected = 0.5 * np.sum((matrix @ corner - target) ** 2)
    np.testing.assert_allclose(padded.losses[0, -1], expected, rtol=1e-4)


def test_all_starts_and_their_losses_are_within_the_grid_s(drawn):
    for landscape in drawn.landscapes:
        x, y = landscape.starts.T
        assert landscape.x[0] < x.min()
        assert x.max() < landscape.x[-1]
        assert landscape.y[0] < y.min()
        assert y.max() < landscape.y[-1]
        assert landscape.start_losses.min() >= 0.9 * landscape.losses.min()
        assert landscape.start_losses.max() <= landscape.losses.max()


def test_starts_that_are_one_point_have_a_landscape_around_it():
    booth = {"problem": "TwoDimensional", "function": "Booth"}
    spec = {"problem": "BadInitialization", "factor": 0.0, "of": booth}
    ensemble = draw_ensemble([{"family": "from_zero", "spec": spec}], seed=0)
    groups, key = ensemble.groups(), jax.random.key(0)
    beginnings = [one for part in measure(ensemble.rows, groups, key, 2) for one in part]
    assert in_the_plane(beginnings) == ensemble.rows
    (landscape,) = survey(ensemble.rows, groups, key)
    assert len(np.unique(landscape.starts, axis=0)) == 1
    for axis, start in zip((landscape.x, landscape.y), landscape.starts[0], strict=True):
        assert axis[0] < start < axis[-1]
        assert np.all(np.diff(axis) > 0)
    assert landscape.losses.min() < landscape.losses.max()
    # Warnings are errors here.
    (figure,) = landscape_figures([landscape])
    figure.savefig(io.BytesIO())


def test_every_landscape_has_a_panel_that_says_what_it_is(drawn):
    (figure,) = landscape_figures(drawn.landscapes)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == [title(landscape) for landscape in drawn.landscapes]
    text = " ".join(titles).replace("\n", " ")
    for words in ("TwoDimensional Booth", "noisy_functions, functions: 2 entries", "logarithm"):
        assert words in text
    panel = next(axes for axes in figure.axes if axes.get_title())
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("first scalar", "second scalar")


def test_thirteen_landscapes_need_a_second_figure(drawn):
    many = [*drawn.landscapes] * 3
    figures = landscape_figures(many[:13])
    assert [sum(bool(axes.get_title()) for axes in one.axes) for one in figures] == [12, 1]


@given(
    arrays(
        np.float32,
        (3, 3),
        elements=st.floats(0, 2.0**100, width=32) | st.sampled_from([np.nan, np.inf, -1.0]),
    )
)
def test_contours_rise_whatever_the_losses_are(losses):
    levels = contour_levels(losses)
    assert len(levels) == LEVELS
    assert np.all(np.isfinite(levels))
    assert np.all(np.diff(levels) > 0)
