"""The page holds everything that it promises, and needs nothing else."""

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lopt.ensemble_entries import CATEGORIES
from lopt.ensemble_report import (
    Facts,
    category_table,
    ensemble_page,
    entry_table,
    program_table,
    set_table,
)
from lopt.ensemble_report.count_figure import count_figure
from lopt.ensemble_report.descriptions import described, loss_only
from lopt.ensemble_report.spread_figure import spread_figure
from lopt.ensemble_report.styles import COLOURS, number

FACTS = Facts("small <one>", "abc123", 7)


@pytest.fixture(scope="module")
def page(drawn) -> str:
    return ensemble_page(FACTS, drawn.beginnings, drawn.pictures)


def test_the_page_names_every_category_set_family_and_program(drawn, page):
    for row in drawn.ensemble.rows:
        for name in (row.category.replace("_", " "), row.problem_set, row.family, row.program):
            assert f"<td>{name}</td>" in page or name in ("", "other")
    assert "<td>other</td>" in page
    assert "small &lt;one&gt;" in page
    assert "seed 7" in page
    assert "abc123" in page


def test_the_page_says_how_many_programs_there_are_to_compile(page):
    assert {name: int(value) for value, name in re.findall(r"<b>(\d+)</b>([a-z ]+)<", page)} == {
        "entries": 8,
        "programs to compile": 3,
        "categories": 5,
        "sets": 5,
        "params at most": 3,
        "weight in all": 8,
    }


def test_all_pictures_are_inside_and_nothing_is_fetched(drawn, page):
    assert {picture.name for picture in drawn.pictures} == {
        "counts.png",
        "beginnings.png",
        "landscapes_1.png",
    }
    sources = re.findall(r'src="([^"]{22})', page)
    assert sources == ["data:image/png;base64,"] * len(drawn.pictures)
    assert not re.search(r'https?://|href="|@import|url\(', page)


def test_a_gradient_that_is_not_finite_is_said_at_the_top(drawn, page):
    assert "not finite" not in page
    norms = np.array([1.0, np.inf, np.nan], np.float32)
    broken = dataclasses.replace(drawn.beginnings[4], gradient_norms=norms)
    warned = ensemble_page(FACTS, [broken, *drawn.beginnings[:4]], drawn.pictures)
    warning = re.search(r'<p class="warning">(.*?)</p>', warned)
    assert warning
    assert "1 entry begins with a gradient that is not finite" in warning[1]
    assert "Row 4 (2 of 3 starts)." in warning[1]
    assert warned.index(warning[0]) < warned.index("<h2>Counts")


def test_losses_that_are_not_finite_at_some_starts_are_said_at_the_top(drawn):
    losses = np.array([1.0, np.inf, np.nan], np.float32)
    broken = [dataclasses.replace(one, losses=losses) for one in drawn.beginnings[:2]]
    warned = ensemble_page(FACTS, [*broken, *drawn.beginnings[2:]], drawn.pictures)
    (warning,) = re.findall(r'<p class="warning">(.*?)</p>', warned)
    assert "2 entries begin with a loss that is not finite" in warning
    assert "Rows 0 (2 of 3 starts), 1 (2 of 3 starts)." in warning


def test_an_ensemble_without_problems_in_the_plane_has_a_page(drawn):
    without = [picture for picture in drawn.pictures if "landscapes" not in picture.name]
    assert "in the plane" not in ensemble_page(FACTS, drawn.beginnings, without)


def test_counts_of_categories_and_sets_add_up(drawn):
    rows = drawn.ensemble.rows
    categories = category_table(rows)
    *parts, whole = categories["entries"].astype(int)
    assert sum(parts) == whole == len(rows)
    assert categories["category"].tolist() == [
        *("two dimensional", "convex", "noisy", "transformed", "other"),
        "all",
    ]
    assert categories["programs"].tolist()[-1] == "3"
    assert set_table(drawn.beginnings)["entries"].astype(int).sum() == len(rows)


def test_programs_say_who_shares_them_and_what_they_move(drawn):
    table = program_table(drawn.beginnings).set_index("families")
    assert table["entries"].to_dict() == {"functions": "3", "bowls": "3", "quadratics": "2"}
    assert table["params"].to_dict() == {"functions": "2", "bowls": "2", "quadratics": "2 to 3"}
    assert table["tensors"].to_dict() == {
        "functions": "[2]",
        "bowls": "[2, 1]",
        "quadratics": "[3, 1]",
    }


def test_entries_are_in_their_order_with_their_problem_in_words(drawn):
    table = entry_table(drawn.beginnings[::-1])
    assert table["row"].tolist() == [str(index) for index in range(8)]
    assert table["problem"][5] == "Bowl condition_number=5, logarithm"


def test_the_bars_are_as_long_as_there_are_entries(drawn):
    axes = count_figure(drawn.ensemble.rows).axes[0]
    assert sum(bar.get_width() for bar in axes.patches) == len(drawn.ensemble.rows)
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        *("two dimensional", "convex", "noisy", "transformed", "other")
    ]


def test_the_spread_shows_every_start_and_says_how_many_have_no_logarithm(drawn):
    norms = np.array([0.0, np.inf, 2.0], np.float32)
    broken = dataclasses.replace(drawn.beginnings[0], gradient_norms=norms)
    left, right = spread_figure([broken, *drawn.beginnings[1:4]]).axes
    assert sum(len(one.get_offsets()) for one in left.collections) == 4 * 3
    assert {"1 of 3 are 0, 1 of 3 not finite"} <= {text.get_text() for text in right.texts}
    assert left.get_xscale() == right.get_xscale() == "log"


def test_the_spread_of_losses_as_large_as_float32_holds_is_drawn_without_a_warning(drawn):
    losses = np.array([3e38, np.inf, 3e38], np.float32)
    broken = dataclasses.replace(drawn.beginnings[0], losses=losses)
    left, _ = spread_figure([broken]).axes
    assert {"1 of 3 not finite"} == {text.get_text() for text in left.texts}


def test_every_category_has_a_colour_of_its_own():
    assert set(COLOURS) == set(CATEGORIES)
    assert len(set(COLOURS.values())) == len(CATEGORIES)


@given(st.floats(1e-30, 1e30) | st.just(0.0), st.integers(1, 5))
def test_a_number_is_written_to_its_digits_and_in_few_characters(value, digits):
    text = number(value, digits)
    assert float(text) == pytest.approx(value, rel=0.5 * 10.0 ** (1 - digits), abs=0)
    assert len(text) <= digits + 7


def test_rooms_that_only_fix_the_program_are_not_described():
    rooms = {"padded_to": 8, "samples_room": 100, "batch_room": 16}
    snake = {"problem": "OutwardSnake", "dimensions": 5, "samples": 50, "batch_size": 10, **rooms}
    assert described(snake) == "OutwardSnake dimensions=5, samples=50, batch_size=10"
    padded = {"problem": "RecurrentNetwork", "units": 4, "batch_padded_to": 64}
    assert described(padded) == "RecurrentNetwork units=4"


def test_a_spec_is_described_from_the_inside_out_without_what_changes_nothing():
    bowl = {"problem": "Bowl", "condition_number": 0.1, "angle": 0.0}
    neutral = {"problem": "Conditions", "scale": 1.0, "noise": 0.5, "of": bowl}
    assert described(neutral) == "Bowl condition_number=0.1, noise=0.5"
    assert described(loss_only(neutral)) == "Bowl condition_number=0.1"
    noisy = {"problem": "GradientNoise", "std": 1.0, "of": bowl}
    whole = {"problem": "LogObjective", "of": {"problem": "Sum", "of": [noisy, bowl]}}
    assert described(whole) == (
        "Sum (Bowl condition_number=0.1, GradientNoise std=1 + Bowl condition_number=0.1), "
        "LogObjective"
    )
    assert described(loss_only(whole)) == (
        "Sum (Bowl condition_number=0.1 + Bowl condition_number=0.1), LogObjective"
    )


def test_the_page_says_of_which_data_sets_the_problems_are_made(drawn):
    first, *others = drawn.beginnings
    row = dataclasses.replace(first.row, data_sets='{"digits":"fedcba"}')
    made = ensemble_page(FACTS, [dataclasses.replace(first, row=row), *others], drawn.pictures)
    assert "digits, SHA-256 fedcba" in made
