"""What the plots show, and that they are files of their own."""

import numpy as np

from lopt.evaluation.plots import loss_figure, score_figure, speed_up_figure, write_plots
from lopt.evaluation.texts import name


def test_there_is_a_plot_of_each_target_one_of_the_scores_and_one_of_speed_ups(report, tmp_path):
    paths = write_plots(report, tmp_path / "plots")
    losses = ["loss_held_out_bowls.png", "loss_held_out_sums.png", "loss_digits_mlp.png"]
    assert sorted(path.name for path in paths) == sorted([*losses, "scores.png", "speed_up.png"])
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    assert sorted(tmp_path.glob("plots/*")) == sorted(paths)


def test_every_optimizer_has_a_line_with_a_band_and_the_axes_say_what_they_hold(report):
    axes = loss_figure(report, "held_out/bowls").axes[0]
    labels = [line.get_label() for line in axes.lines]
    for optimizer in report.optimizers:
        assert any(label.startswith(optimizer) for label in labels)
    assert len(axes.collections) == len(report.optimizers)
    assert axes.get_yscale() == "log"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("inner step", "loss / initial loss")


def test_the_heat_map_writes_every_score(report):
    figure = score_figure(report)
    written = [text.get_text() for text in figure.axes[0].texts]
    assert written == [f"{score.value:.2f}" for score in report.scores("area")]


def test_every_optimizer_has_its_speed_up_with_the_ends_of_its_interval(report):
    axes = speed_up_figure(report).axes[0]
    (bars,) = axes.containers
    means = [score for score in report.scores("speed_up") if score.target == "mean"]
    assert [label.get_text() for label in axes.get_yticklabels()] == [name(one) for one in means]
    ends = np.array(bars.lines[2][0].get_segments())[:, :, 0]
    np.testing.assert_allclose(ends, [[2.0**one.low, 2.0**one.high] for one in means])


def test_a_metric_that_is_missing_on_some_targets_has_a_heat_map_too(report):
    columns = [
        text.get_text() for text in score_figure(report, "test_accuracy").axes[0].get_xticklabels()
    ]
    assert columns == ["digits/mlp", "mean"]


def test_scores_against_initial_rates_are_a_plot_of_their_own(report, with_rates, tmp_path):
    names = {path.name for path in write_plots(with_rates, tmp_path / "with")}
    without = {path.name for path in write_plots(report, tmp_path / "without")}
    assert names - without == {"initial_rates_digits_mlp.png"}
