from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from lopt.evaluation.choices import SINGLE, TUNED
from lopt.evaluation.words import held_out_difference, verdict
from tasks.score_page import score_page
from tasks.score_table import score_table

if TYPE_CHECKING:
    from lopt.evaluation import Report

pytestmark = pytest.mark.filterwarnings("default")
MakeReport = Callable[..., "Report"]
ONE, SWEEP = (1e-3,), (1e-3, 1e-2)


def test_a_sweep_has_a_mean_for_each_choice_of_the_rate(make_report: MakeReport) -> None:
    table = score_table(make_report(SWEEP, {}), "learned")
    assert table.heading == ("target", "learned", "Adam")
    assert [row[0] for row in table.rows] == [
        "held_out/bowls",
        "digits/mlp",
        "mean (best single rate)",
        "mean (best rate per target)",
    ]


def test_a_single_rate_leaves_no_choice_and_one_mean(make_report: MakeReport) -> None:
    table = score_table(make_report(ONE, {}), "learned")
    assert [row[0] for row in table.rows] == ["held_out/bowls", "digits/mlp", "mean (default rate)"]
    assert all(len(row) == 3 for row in table.rows)


def test_a_single_rate_is_both_the_best_one_and_the_best_of_each_target(
    make_report: MakeReport,
) -> None:
    report = make_report(ONE, {})
    single, tuned = (
        held_out_difference(report, "learned", "Adam", choice) for choice in (SINGLE, TUNED)
    )
    assert single == tuned


@pytest.mark.parametrize(
    ("rates", "parts"), [(ONE, ["default rate"]), (SWEEP, ["best single rate", "best rate per"])]
)
def test_the_sentence_names_every_choice_once(
    make_report: MakeReport, rates: tuple[float, ...], parts: list[str]
) -> None:
    sentence = verdict(make_report(rates, {}), "learned")[0]
    assert sentence.startswith("Ours against Adam on the held-out draws: ")
    assert sentence.count(" at its ") == len(parts)
    assert all(part in sentence for part in parts)


@pytest.mark.parametrize(
    ("rates", "choice"), [(ONE, "default rate"), (SWEEP, "best rate per target")]
)
def test_a_loss_is_told_whatever_rates_there_are(
    make_report: MakeReport, rates: tuple[float, ...], choice: str
) -> None:
    report = make_report(rates, {})
    _, loss = verdict(report, "learned")
    assert loss.startswith(f"Ours loses to Adam at the {choice} on: held_out/bowls (+")
    assert f"* {loss}" in score_page(report)


@pytest.mark.parametrize(("rates", "marked"), [(ONE, False), (SWEEP, True)])
def test_scores_at_an_end_of_the_rates_tried_are_marked_and_the_page_says_what_that_means(
    make_report: MakeReport, rates: tuple[float, ...], marked: bool
) -> None:
    report = make_report(rates, {})
    # Of two rates each is an end.
    at_one_rate = score_table(report, "learned").rows[:3]
    assert [["†" in cell for cell in row] for row in at_one_rate] == [[False, False, marked]] * 3
    assert ("† marks a learning rate" in score_page(report).splitlines()[0]) == marked


@pytest.mark.parametrize(
    ("rates", "words"), [(ONE, "Neither were the others"), (SWEEP, "the best of its 2 learning")]
)
def test_the_report_says_in_words_that_ours_was_not_tuned(
    make_report: MakeReport, rates: tuple[float, ...], words: str
) -> None:
    page = score_page(make_report(rates, {}))
    assert page.startswith("Ours was not tuned: it has its default initial learning rate, 0.001,")
    assert words in page.splitlines()[0]
