"""Ensembles of problems that are made of data sets: the rows say of which, and mean it."""

import dataclasses

import jax
import numpy as np
import pytest

from lopt.ensembles import Ensemble, EnsembleError, draw_ensemble
from lopt.problems.images import striped_images
from tests.lopt.trees import assert_equal

DATA_SETS = {
    "stripes": striped_images(30, (3, 2, 1), classes=2)._replace(digest="5" * 64),
    "others": striped_images(25, (3, 2, 1), classes=2)._replace(digest="0" * 64),
}
MLPS = {
    "family": "mlps",
    "count": 3,
    "spec": {"problem": "ImageMLP", "data_set": "stripes", "samples": 4, "hidden": [2]},
}
BOWLS = {"family": "bowls", "count": 2, "spec": {"problem": "Bowl", "condition_number": 2.0}}


@pytest.fixture(scope="module")
def ensemble():
    return draw_ensemble([MLPS, BOWLS], 3, DATA_SETS)


def test_rows_say_of_which_data_sets_they_are_made(ensemble):
    digest = "5" * 64
    assert [row.data_sets for row in ensemble.rows] == 3 * [f'{{"stripes":"{digest}"}}'] + 2 * [
        "{}"
    ]
    assert ensemble.data_sets == {"stripes": digest}


def test_the_digest_of_a_data_set_is_part_of_the_ensemble_s(ensemble):
    changed = {"stripes": DATA_SETS["stripes"]._replace(digest="6" * 64)}
    assert draw_ensemble([MLPS, BOWLS], 3, changed).digest != ensemble.digest
    assert draw_ensemble([MLPS, BOWLS], 3, DATA_SETS).digest == ensemble.digest


def test_what_is_written_and_read_is_the_same_problems_bit_for_bit(ensemble, tmp_path):
    ensemble.write(tmp_path / "ensemble.parquet")
    read = Ensemble.read(tmp_path / "ensemble.parquet")
    again = {"stripes": striped_images(30, (3, 2, 1), classes=2)._replace(digest="5" * 64)}
    assert read == ensemble
    assert_equal(read.groups(again), ensemble.groups(DATA_SETS))


def test_rows_have_other_images_of_the_data_set_each(ensemble):
    group, _ = ensemble.groups(DATA_SETS)
    levels = group.problems.data.levels
    assert levels.shape == (3, 4, 3, 2, 1)
    assert (levels[0] != levels[1]).any()


def test_data_sets_that_no_spec_names_change_nothing():
    assert draw_ensemble([BOWLS], 3, DATA_SETS) == draw_ensemble([BOWLS], 3)
    assert draw_ensemble([BOWLS], 3).data_sets == {}


def test_images_are_not_needed_for_drawing(ensemble):
    shapes = {
        name: data_set._replace(
            images=jax.ShapeDtypeStruct(data_set.images.shape, np.uint8),
            labels=jax.ShapeDtypeStruct(data_set.labels.shape, np.int32),
        )
        for name, data_set in DATA_SETS.items()
    }
    assert draw_ensemble([MLPS, BOWLS], 3, shapes) == ensemble


def test_a_data_set_can_be_drawn(ensemble):
    either = {"choice": ["stripes", "others"]}
    entry = {**MLPS, "count": 20, "spec": {**MLPS["spec"], "data_set": either}}
    drawn = draw_ensemble([entry], 3, DATA_SETS)
    assert drawn.data_sets == {"others": "0" * 64, "stripes": "5" * 64}
    assert len({row.program for row in drawn.rows}) == 1
    assert 5 < sum("others" in row.spec for row in drawn.rows) < 15


def test_another_data_set_than_the_drawn_one_is_refused(ensemble):
    other = {"stripes": DATA_SETS["others"]}
    message = r"row 0 was drawn with .*'stripes' of digest 5{64}, .* has 0{64}: .* Draw the"
    with pytest.raises(EnsembleError, match=message):
        ensemble.groups(other)


def test_a_data_set_that_is_not_given_is_refused(ensemble):
    with pytest.raises(EnsembleError, match=r"row 0 is made of .*'stripes', .* \(none\)\. Prepare"):
        ensemble.groups()
    only = {"others": DATA_SETS["others"]}
    with pytest.raises(EnsembleError, match=r"not among the given ones \(others\)"):
        ensemble.rows[1].build(only)
    unnamed = dataclasses.replace(ensemble.rows[0], data_sets="{}")
    with pytest.raises(EnsembleError, match=r"row 0\.data_set must be the name .*; given: none"):
        unnamed.build()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data_set": "mnist"},
            r"entries\[0\]\.spec\.data_set must .* 'mnist'; given: others, str",
        ),
        ({"samples": 31}, r"entries\[0\]\.spec \(ImageMLP\): samples must be at most 30"),
    ],
)
def test_a_spec_that_does_not_fit_its_data_set_is_refused_when_drawn(changes, message):
    entry = {**MLPS, "spec": {**MLPS["spec"], **changes}}
    with pytest.raises(EnsembleError, match=message):
        draw_ensemble([entry], 3, DATA_SETS)
