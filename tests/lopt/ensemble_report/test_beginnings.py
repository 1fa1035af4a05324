"""What is measured at the starts is what the problems themselves say, and what is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from lopt.ensemble_report import beginnings_table, check_usable, measure
from lopt.ensemble_report.beginnings import with_rows
from lopt.ensemble_report.first_step import first_loss_and_norm
from lopt.ensembles import Ensemble, EnsembleError, draw_ensemble
from lopt.problems import Bowl, Rescale, loss_and_gradient


@pytest.mark.parametrize("index", [0, 5, 6])
def test_losses_and_norms_are_those_of_the_row_s_problem_with_the_same_keys(drawn, index):
    row = drawn.ensemble.rows[index]
    (measured,) = [one for one in drawn.beginnings if one.row == row]
    keys = jax.random.split(jax.random.fold_in(jax.random.key(5), index), len(measured.losses))
    draw_key, params_key, loss_key, step_key = jax.random.split(keys[1], 4)
    problem = row.build().draw(draw_key)
    params = problem.init(params_key)
    _, gradient = loss_and_gradient(problem, params, step_key)
    norm = np.linalg.norm(ravel_pytree(gradient)[0])
    loss = problem.loss(params, problem.full_batch(), loss_key)
    np.testing.assert_allclose(measured.losses[1], loss, rtol=1e-5)
    np.testing.assert_allclose(measured.gradient_norms[1], norm, rtol=1e-5)


def test_every_entry_is_measured_once_and_its_scalars_are_counted_without_padding(drawn):
    params = {one.row.index: one.params for one in drawn.beginnings}
    assert params == {0: 2, 1: 2, 2: 2, 3: 2, 4: 2, 5: 2, 6: 2, 7: 3}


def test_the_starts_of_a_row_do_not_depend_on_the_rows_after_it(drawn):
    fewer = Ensemble(drawn.ensemble.rows[:3])
    (part,) = measure(fewer.rows, fewer.groups(), jax.random.key(5), 3)
    for one, other in zip(part, drawn.beginnings[:3], strict=True):
        np.testing.assert_array_equal(one.losses, other.losses)


def test_what_is_measured_does_not_depend_on_constants_that_are_drawn_anew():
    quadratic = {"problem": "Quadratic", "dimensions": 3}
    classes = {"problem": "SoftmaxRegression", "features": 2, "samples": 8, "batch_size": 4}
    entries = [{"family": spec["problem"], "spec": spec} for spec in (quadratic, classes)]
    ensemble = draw_ensemble(entries, seed=0)
    own, blank = ensemble.groups(), ensemble.groups(to_be_drawn=True)
    assert own[0].problems.matrix.any()
    assert not blank[0].problems.matrix.any()
    for one, other in zip(
        *(measure(ensemble.rows, groups, jax.random.key(0), 2) for groups in (own, blank)),
        strict=True,
    ):
        np.testing.assert_array_equal(one[0].losses, other[0].losses)
        np.testing.assert_array_equal(one[0].gradient_norms, other[0].gradient_norms)


def test_rows_are_paired_with_the_problems_that_were_built_from_them(drawn):
    for group, rows in with_rows(drawn.ensemble.rows, drawn.groups):
        assert group.size == len(rows)
        for place, row in enumerate(rows):
            jax.tree.map(np.testing.assert_array_equal, group.entry(place), row.build())


def test_the_gradient_that_an_optimizer_is_shown_is_measured(drawn):
    measured = {one.row.index: one for one in drawn.beginnings}
    assert '"zeroed":0.99' in measured[4].row.spec
    assert np.all(measured[4].gradient_norms == 0)
    assert np.all(measured[3].gradient_norms > 0)


def test_the_norm_of_a_gradient_whose_square_is_too_large_is_finite():
    problem = Rescale(Bowl(condition_number=1.0), scale=1e-25)
    loss, norm = first_loss_and_norm(problem, jax.random.key(0))
    assert jnp.isfinite(loss)
    # Half a squared distance, and its slope in coordinates that are so much smaller.
    np.testing.assert_allclose(norm, np.sqrt(2 * loss) * 1e25, rtol=1e-5)


@pytest.mark.parametrize(
    ("losses", "starts"),
    [
        ([1.0, -1.0, 0.0], 1),
        ([np.nan, -1.0, -np.inf], 2),
        ([np.nan, np.inf, np.nan], 3),
    ],
)
def test_losses_that_never_have_a_logarithm_are_refused_and_their_row_named(drawn, losses, starts):
    broken = dataclasses.replace(drawn.beginnings[4], losses=np.array(losses, np.float32))
    message = rf"1 of 8 rows .* row 4 \(bowls, .*{starts} of 3 starts"
    with pytest.raises(EnsembleError, match=message):
        check_usable([*drawn.beginnings[:4], broken, *drawn.beginnings[5:]])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_single_losses_that_are_not_finite_are_not_refused(drawn, bad):
    losses = np.array([1.0, bad, 0.0], np.float32)
    check_usable([dataclasses.replace(drawn.beginnings[4], losses=losses), *drawn.beginnings])


def test_losses_of_zero_and_more_are_not_refused(drawn):
    zero = dataclasses.replace(drawn.beginnings[0], losses=np.zeros(3, np.float32))
    check_usable([zero, *drawn.beginnings])


def test_the_table_has_a_row_for_each_start(drawn):
    table = beginnings_table(drawn.beginnings)
    assert len(table) == 8 * 3
    one = drawn.beginnings[3]
    part = table[table["index"] == one.row.index]
    np.testing.assert_array_equal(part["loss"], one.losses)
    np.testing.assert_array_equal(part["gradient_norm"], one.gradient_norms)
    assert part["start"].tolist() == [0, 1, 2]
    assert set(part["problem_set"]) == {"bowls"}
