"""Laws of single baselines, and of where losses are measured."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lopt.evaluation import BASELINES, baselines
from lopt.evaluation.measured_params import measured_params
from lopt.evaluation.plots import loss_figure
from lopt.evaluation.report import Report
from lopt.evaluation.schedules import StaysOrFalls, as_data, constant, cosine


def after_three_steps(transformation, params):
    opt_state = transformation.init(params)
    with jax.numpy_dtype_promotion("standard"):
        for factor in (1.0, -0.5, 0.25):
            gradient = {name: factor * leaf for name, leaf in params.items()}
            updates, opt_state = transformation.update(gradient, opt_state, params)
            params = optax.apply_updates(params, updates)
    return opt_state, params


@pytest.fixture
def params():
    vector = jnp.array([1.0, -2.0, 3.0], jnp.float32)
    return {"vector": vector, "matrix": jnp.outer(vector, vector) + jnp.eye(3, dtype=jnp.float32)}


def test_muon_takes_matrices_and_leaves_vectors_to_nadam(params):
    _, muon = after_three_steps(BASELINES["Muon"].make(jnp.float32(0.1)), params)
    _, nadam = after_three_steps(optax.nadam(0.1), params)
    np.testing.assert_allclose(muon["vector"], nadam["vector"], rtol=1e-6)
    assert not np.allclose(muon["matrix"], nadam["matrix"], rtol=1e-2)


def test_muon_treats_a_matrix_and_its_transpose_alike():
    matrix = {"matrix": jnp.arange(8, dtype=jnp.float32).reshape(2, 4) - 3.0}
    turned = {"matrix": matrix["matrix"].T}
    _, one = after_three_steps(BASELINES["Muon"].make(jnp.float32(0.1)), matrix)
    _, other = after_three_steps(BASELINES["Muon"].make(jnp.float32(0.1)), turned)
    np.testing.assert_allclose(one["matrix"], other["matrix"].T, rtol=1e-4, atol=1e-5)


def test_a_schedule_free_optimizer_is_measured_at_its_average_wherever_it_stands(params):
    bare = BASELINES["ScheduleFreeAdam"].make(jnp.float32(0.1))
    state, held = after_three_steps(bare, params)
    average = optax.contrib.schedule_free_eval_params(state, held)
    assert not np.allclose(average["vector"], held["vector"])
    for transformation in (bare, optax.chain(optax.identity(), bare)):
        state, held = after_three_steps(transformation, params)
        found = measured_params(state, held)
        np.testing.assert_allclose(found["vector"], average["vector"], rtol=1e-6)


def test_any_other_optimizer_is_measured_where_its_params_are(params):
    state, held = after_three_steps(optax.adam(0.1), params)
    assert measured_params(state, held) is held


def test_a_cosine_begins_at_the_rate_and_ends_at_zero():
    schedule = cosine(jnp.float32(0.1), 10)
    with jax.numpy_dtype_promotion("standard"):
        rates = [float(schedule(step)) for step in (0, 5, 10)]
    np.testing.assert_allclose(rates, [0.1, 0.05, 0.0], atol=1e-8)


@settings(max_examples=20)
@given(rate=st.floats(2.0**-20, 1.0, width=32), steps=st.integers(1, 1000), data=st.data())
def test_one_program_for_rates_that_stay_or_fall_has_the_bits_of_two(rate, steps, data):
    step, given_rate = jnp.int32(data.draw(st.integers(0, steps))), jnp.float32(rate)
    rates = jax.jit(lambda schedule, step: schedule(given_rate, steps)(step))
    with jax.numpy_dtype_promotion("standard"):
        falls = jax.jit(cosine(given_rate, steps))(step)
        assert rates(as_data(StaysOrFalls(falls=False)), step) == constant(given_rate, steps)
        assert rates(as_data(StaysOrFalls(falls=True)), step) == falls


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(
        ValueError, match=r"called Best, Worst; known: SGD\+momentum, RMSProp, Adam"
    ):
        baselines(names=("Adam", "Best", "Worst"))


def test_by_default_they_are_the_papers_three():
    names = [candidate.name for candidate in baselines()]
    assert names == ["SGD+momentum", "RMSProp", "Adam"]


def test_no_two_optimizers_of_all_look_alike_in_a_plot(make_cell):
    cells = tuple(make_cell("a", name, (0.1,), seed) for seed, name in enumerate(BASELINES))
    lines = loss_figure(Report(cells), "a").axes[0].lines
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == len(BASELINES)
