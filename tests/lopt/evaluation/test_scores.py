"""Laws of scores: what is measured, which rate is chosen, how sure one is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lopt.evaluation import ReportError
from lopt.evaluation.bootstrap import mean_with_interval
from lopt.evaluation.choices import chosen
from lopt.evaluation.measures import CEILING, log_relative_losses, values
from lopt.evaluation.tables import difference_table, score_table

LOSSES = arrays.arrays(np.float32, 6, elements=st.floats(0, 2.0**100, width=32))
SAMPLES = st.lists(
    arrays.arrays(np.float64, st.integers(2, 9), elements=st.floats(-6, 2)), min_size=1, max_size=4
)


@given(LOSSES, st.integers(0, 5))
def test_a_score_lies_between_its_floor_and_its_ceiling_and_divergence_is_the_worst(losses, step):
    scores = log_relative_losses(losses)
    assert (scores >= -6).all()
    assert (scores <= CEILING).all()
    diverged = np.where(np.arange(6) >= step, np.float32(np.inf), losses)
    assert (log_relative_losses(diverged) >= scores - 1e-12).all() or step == 0
    assert (log_relative_losses(diverged)[step:] == CEILING).all()


@given(st.floats(1.0, 1e6), arrays.arrays(np.float64, 6, elements=st.floats(1.0, 100.0)))
def test_rescaling_a_problem_leaves_its_score(scale, losses):
    ours = log_relative_losses(losses.astype(np.float32))
    # The epsilon beside the initial loss, and float32, are all that scale can change.
    np.testing.assert_allclose(
        log_relative_losses((scale * losses).astype(np.float32)), ours, atol=3e-6
    )


def test_a_tenth_of_the_loss_is_minus_one():
    np.testing.assert_allclose(log_relative_losses(np.float32([5, 0.5])), [0, -1], atol=1e-5)


@given(SAMPLES)
def test_an_interval_holds_the_mean_of_means(samples):
    mean, low, high = mean_with_interval(samples)
    np.testing.assert_allclose(mean, np.mean([sample.mean() for sample in samples]))
    assert low - 1e-9 <= mean <= high + 1e-9


@pytest.mark.parametrize("shape", [(1, 3), (1, 5), (1, 8), (6, 3), (8, 8)])
def test_nineteen_of_twenty_intervals_hold_the_truth(shape):
    generator = np.random.default_rng(0)
    scales = generator.uniform(0.1, 1.0, shape[0])
    trials, held = 400, 0
    for _ in range(trials):
        values = scales[:, None] * generator.normal(size=shape)
        _, low, high = mean_with_interval(list(values))
        held += low <= 0.0 <= high
    # 0.95, less what a percentile bootstrap loses, and three standard errors of 400 trials.
    assert 0.90 <= held / trials <= 0.985


def test_more_of_the_same_seeds_narrow_the_interval():
    few = np.array([-1.0, -2.0, 0.0, -1.5])
    _, low_few, high_few = mean_with_interval([few])
    _, low_many, high_many = mean_with_interval([np.tile(few, 16)])
    assert high_many - low_many < 0.5 * (high_few - low_few)


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ([np.inf] * 3, (np.inf, np.inf, np.inf)),
        ([-np.inf] * 3 + [1.0] * 5, (-np.inf, -np.inf, -np.inf)),
        ([np.inf, -np.inf], (0.0, -np.inf, np.inf)),
    ],
)
def test_infinite_values_make_no_nan(sample, expected):
    assert mean_with_interval([np.array(sample)]) == expected


@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
def test_one_infinite_seed_of_eight_decides_nothing(infinity):
    mean, low, high = mean_with_interval([np.array([1.0] * 7 + [infinity])])
    assert (mean, low, high) == (infinity, -np.inf, np.inf)


def test_the_best_single_rate_minimises_the_mean_area_over_targets(report):
    cells = report.of("Adam")
    rates = {cell.learning_rates for cell in chosen(cells, "best single rate")}
    assert len(rates) == 1
    best = np.mean([values(cell, "area").mean() for cell in chosen(cells, "best single rate")])
    for rate in range(3):
        assert best <= np.mean([values(cell, "area")[rate].mean() for cell in cells])


def test_the_best_rate_of_each_target_is_never_worse_than_the_best_single_one(report):
    for optimizer in ("SGD", "Adam"):
        single = chosen(report.of(optimizer), "best single rate")
        own = chosen(report.of(optimizer), "best rate per target")
        for one, other in zip(single, own, strict=True):
            assert values(other, "area").mean() <= values(one, "area").mean()


def test_a_sweep_is_scored_twice_and_a_default_once(report):
    means = [score for score in report.scores("area") if score.target == "mean"]
    assert [(score.optimizer, score.choice) for score in means] == [
        ("learned", "default rate"),
        ("SGD", "best single rate"),
        ("SGD", "best rate per target"),
        ("Adam", "best single rate"),
        ("Adam", "best rate per target"),
    ]


def test_the_mean_weighs_each_target_alike(report):
    scores = {
        score.target: score for score in report.scores("final") if score.optimizer == "learned"
    }
    of_targets = [scores[target].value for target in report.targets]
    np.testing.assert_allclose(scores["mean"].value, np.mean(of_targets))


def test_a_measure_is_scored_where_it_exists(report):
    scores = report.scores("test_accuracy")
    assert {score.target for score in scores} == {"digits/mlp", "mean"}
    assert {score.better for score in scores} == {"higher"}


def test_diverged_trajectories_are_counted(report):
    diverged = report.of("SGD")[0]
    assert int(diverged.diverged.sum()) == 1
    scores = [s for s in report.only("held_out/bowls").scores("area") if s.optimizer == "SGD"]
    at_rate = diverged.learning_rates.index(scores[0].learning_rate)
    assert scores[0].diverged == int(diverged.diverged[at_rate].sum())


def test_a_difference_is_the_difference_of_the_scores(report):
    scores = {
        (score.target, score.optimizer, score.choice): score.value
        for score in report.scores("area")
    }
    for row in report.differences("learned", "area"):
        ours = scores[row.target, "learned", "default rate"]
        theirs = scores[row.target, row.other, row.choice]
        np.testing.assert_allclose(row.value, ours - theirs, atol=1e-12)
        assert row.low <= row.value <= row.high


def test_pairing_by_seed_takes_out_what_all_optimizers_share(make_cell):
    from lopt.evaluation import Report

    ours, theirs = make_cell("a", "ours", (1.0,), 0), make_cell("a", "theirs", (1.0,), 0)
    theirs.losses[...] = ours.losses
    theirs.losses[:, :, 1:] *= 2
    (row, _) = Report((ours, theirs)).differences("ours", "area")
    assert row.verdict == "better"
    np.testing.assert_allclose([row.low, row.value, row.high], -np.log10(2), atol=1e-5)


def test_an_optimizer_with_a_sweep_has_no_one_difference(report):
    with pytest.raises(ReportError, match="sweep"):
        report.differences("Adam", "area")


def test_every_table_has_the_mean_last_and_rows_as_wide_as_its_columns(report):
    for table in (
        score_table(report.scores("area")),
        difference_table(report.differences("learned", "area")),
    ):
        assert table.columns[0] == "target"
        assert [row[0] for row in table.rows] == [*report.targets, "mean"]
        assert {len(row) for row in table.rows} == {len(table.columns)}
