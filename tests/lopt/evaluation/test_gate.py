"""Laws of the gate: nothing worse is let through, and what speaks against it is told."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lopt.evaluation import Cell, Failure, Report, ReportError
from lopt.evaluation.gate import rule
from lopt.evaluation.gate_plot import ruling_figure

TARGETS = ("bowls", "networks")
STEPS = np.arange(6, dtype=np.int32)
SEEDS = 8


def cell(target, optimizer, decades, noise=0.05):
    """A cell whose losses fall by so many decades a step, seeds being a little different."""
    spread = np.random.default_rng(len(target)).normal(scale=noise, size=(1, SEEDS, 1))
    rates = decades + spread + np.zeros((1, SEEDS, STEPS.size))
    losses = 10.0 ** (-STEPS * rates)
    return Cell(target, optimizer, (1e-5,), STEPS, losses.astype(np.float32), {}, {})


def report(challenger, champion, failures=()):
    """A report of both, by how many decades a step they reduce the loss of each target."""
    decades = {"new": challenger, "old": champion}
    cells = [cell(t, name, decades[name][i]) for i, t in enumerate(TARGETS) for name in decades]
    return Report(tuple(cells), {"new/release": "1", "old/release": "0"}, tuple(failures))


def ruling(*arguments, tolerance=0.05, **more):
    return rule(report(*arguments, **more), "new", "old", tolerance)


def test_who_is_better_everywhere_is_promoted():
    found = ruling((0.3, 0.3), (0.2, 0.2))
    assert found.promoted
    assert found.mean.value < 0
    assert found.words.startswith("new is better than old")


def test_who_is_the_same_is_refused():
    found = ruling((0.2, 0.2), (0.2, 0.2))
    assert [reason[:23] for reason in found.reasons] == ["It is not better beyond"]


def test_what_is_gained_elsewhere_does_not_outweigh_a_target_that_is_lost():
    found = ruling((0.6, 0.1), (0.2, 0.2))
    assert found.mean.verdict == "better"
    (reason,) = found.reasons
    assert reason.startswith("It is worse on networks: +0.3")
    assert ruling((0.6, 0.1), (0.2, 0.2), tolerance=1.0).promoted


def test_who_diverges_more_often_is_refused():
    good = report((0.6, 0.6), (0.2, 0.2))
    losses = good.of("new")[0].losses.copy()
    losses[0, 3, 2:] = np.inf
    bad = dataclasses.replace(good.of("new")[0], losses=losses)
    cells = tuple(bad if one.losses is good.of("new")[0].losses else one for one in good.cells)
    found = rule(dataclasses.replace(good, cells=cells), "new", "old", tolerance=1.0)
    assert found.diverged == (1, 0)
    assert found.reasons == ("1 of its 16 trajectories diverge, and 0 of the champion's.",)


@pytest.mark.parametrize("optimizer", ["new", "old", "Adam"])
def test_who_was_not_measured_on_all_targets_is_refused(optimizer):
    failure = Failure("digits/mlp", optimizer, "out of memory")
    (reason,) = ruling((0.6, 0.6), (0.2, 0.2), failures=[failure]).reasons
    assert "digits/mlp" in reason
    assert "out of memory" in reason


def test_a_baseline_that_lacks_in_a_target_that_is_compared_decides_nothing():
    failure = Failure("bowls", "Adam", "out of memory")
    assert ruling((0.6, 0.6), (0.2, 0.2), failures=[failure]).promoted


def test_robustness_over_initial_rates_decides_nothing():
    lost = Failure("initial_rates/networks", "new", "out of memory")
    good = report((0.6, 0.6), (0.2, 0.2), [lost])
    rates = {"learning_rates": (1e-6, 1e-5)}
    apart = []
    for name, decades in (("new", -0.3), ("old", 0.2)):
        found = cell("initial_rates/bowls", name, decades)
        apart.append(dataclasses.replace(found, losses=found.losses.repeat(2, axis=0), **rates))
    worse = dataclasses.replace(good, cells=(*good.cells, *apart))
    assert rule(worse, "new", "old", 0.05).promoted


def test_an_optimizer_that_is_not_in_the_report_is_named():
    with pytest.raises(ReportError, match="'newest'"):
        rule(report((0.2, 0.2), (0.2, 0.2)), "newest", "old", 0.1)


def test_the_plot_has_each_target_with_its_interval_and_the_mean_last():
    found = ruling((0.6, 0.1), (0.2, 0.2))
    axes = ruling_figure(found).axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["mean over targets", *reversed(TARGETS)]
    ends = [sorted(line.get_xdata()) for line in axes.lines if len(set(line.get_ydata())) == 1]
    intervals = [one for one in ends if len(one) == 2]
    wanted = [(gap.low, gap.high) for gap in (found.mean, *reversed(found.targets))]
    np.testing.assert_allclose(intervals, wanted)
    assert axes.get_title(loc="left") == "refused"
    assert found.tolerance in [line.get_xdata()[0] for line in axes.lines]


rates = st.tuples(*[st.floats(-0.3, 0.9)] * len(TARGETS))


@given(rates, rates)
def test_whoever_is_promoted_has_a_lower_mean_and_never_both_are(one, other):
    there, back = ruling(one, other), ruling(other, one)
    assert not (there.promoted and back.promoted)
    for found in (there, back):
        if found.promoted:
            assert found.mean.high < 0
            assert max(gap.value for gap in found.targets) <= found.tolerance
