"""Laws of the optimizers whose learning rate is a meta-param of its own."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lopt.architectures import (
    GlobalLearningRate,
    LearnedAdam,
    LearningRateSchedule,
    RandomLearningRate,
)
from lopt.architectures.learning_rates import check_initial_learning_rate
from lopt.evaluation.candidate import learned

NUMBERS = [int, float, np.float16, np.float32, np.float64, np.int64]

PARAMS = {"w": jnp.ones((2, 3)), "b": jnp.full((3,), -0.5)}


def run(transformation, gradients):
    state, found = transformation.init(gradients[0]), []
    update = jax.jit(transformation.update)
    for gradient in gradients:
        updates, state = update(gradient, state)
        found.append(updates)
    return found, state


def schedule(rates):
    optimizer = LearningRateSchedule(steps=len(rates), key=jax.random.key(0))
    return eqx.tree_at(lambda o: o.log_learning_rates, optimizer, jnp.log(jnp.array(rates)))


@pytest.mark.parametrize("cls", [GlobalLearningRate, LearningRateSchedule, LearnedAdam])
@pytest.mark.parametrize("kind", ["number", "array", "drawn"])
def test_the_rate_used_is_the_rate_learned_whatever_initial_rate_is_given(
    cls, kind, getkey
) -> None:
    """Meta-training draws one, users and evaluation give one: none may change what was learned."""
    optimizer = cls.release(key=getkey())
    given_rate = {
        "number": 0.5,
        "array": jnp.asarray(0.5),
        "drawn": RandomLearningRate(getkey()),
    }[kind]
    plain, _ = run(optimizer.transformation(), [PARAMS])
    other, _ = run(optimizer.transformation(given_rate), [PARAMS])
    jax.tree.map(np.testing.assert_array_equal, plain, other)


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("value", [-1, 0])
def test_an_initial_rate_that_is_not_positive_is_refused_in_numbers_of_any_kind(
    kind, value
) -> None:
    with pytest.raises(ValueError, match=f"must be positive and finite, but is {value}"):
        check_initial_learning_rate(kind(value))
    check_initial_learning_rate(kind(1))


@pytest.mark.parametrize("cls", [GlobalLearningRate, LearningRateSchedule, LearnedAdam])
def test_evaluation_uses_the_rate_learned(cls, getkey) -> None:
    candidate = learned(cls.release(key=getkey()))
    updates, _ = run(candidate.make(jnp.asarray(candidate.learning_rates[0])), [PARAMS])
    np.testing.assert_allclose(np.abs(updates[0]["w"]), 1e-3, rtol=1e-5)


def test_the_global_rate_begins_as_gradient_descent_at_a_thousandth(getkey) -> None:
    gradients = [{"w": jax.random.normal(getkey(), (5,))} for _ in range(2)]
    ours, _ = run(GlobalLearningRate.release(key=getkey()).transformation(), gradients)
    theirs, _ = run(optax.sgd(1e-3), gradients)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a["w"], b["w"], rtol=1e-6)


def with_meta_params(optimizer, values):
    leaves, structure = jax.tree.flatten(optimizer)
    drawn = [
        jnp.full(leaf.shape, value, jnp.float32) for leaf, value in zip(leaves, values, strict=True)
    ]
    return jax.tree.unflatten(structure, drawn)


@settings(max_examples=10)
@given(log_rate=st.floats(-100.0, 100.0))
@example(log_rate=100.0)
@example(log_rate=-100.0)
def test_the_global_rate_is_its_exponential_within_e_to_the_33(log_rate) -> None:
    optimizer = with_meta_params(GlobalLearningRate(key=jax.random.key(0)), [log_rate])
    gradient = jnp.array([1.0, 0.0, -2.0])
    updates, _ = optimizer.transformation().update(gradient, optax.EmptyState())
    rate = np.exp(np.clip(log_rate, -33, 33))
    np.testing.assert_allclose(updates, [-rate, 0.0, 2 * rate], rtol=1e-4)


@jax.jit
def first_and_second_update(optimizer, gradient):
    transformation = optimizer.transformation()
    first, state = transformation.update(gradient, transformation.init(gradient))
    return first, transformation.update(gradient, state)[0]


@pytest.mark.parametrize("cls", [GlobalLearningRate, LearningRateSchedule, LearnedAdam])
@settings(max_examples=20)
@given(values=st.lists(st.floats(-100.0, 100.0, width=32), min_size=4, max_size=4))
@example(values=[100.0, 100.0, 100.0, -100.0])
@example(values=[100.0, -100.0, -100.0, 100.0])
@example(values=[100.0, 100.0, -100.0, -100.0])
@example(values=[-100.0, -100.0, 100.0, 100.0])
def test_no_value_of_the_meta_params_ascends(cls, values) -> None:
    made = cls(key=jax.random.key(0))
    optimizer = with_meta_params(made, values[: len(jax.tree.leaves(made))])
    gradient = jnp.array([1.0, 0.0, -1e-3, 1e15])
    for updates in first_and_second_update(optimizer, gradient):
        assert bool(jnp.isfinite(updates).all())
        assert bool((updates * jnp.sign(gradient) <= 0).all())
        assert float(updates[1]) == 0.0


@pytest.mark.parametrize("cls", [GlobalLearningRate, LearningRateSchedule, LearnedAdam])
def test_rates_too_high_find_back(cls) -> None:
    """They are clipped, but not their derivative."""
    made = cls(key=jax.random.key(0))
    values = [100.0, 2.0, 7.0, -18.0][: len(jax.tree.leaves(made))]

    def length(optimizer):
        return jnp.abs(first_and_second_update(optimizer, jnp.ones(3))[0]).sum()

    slope = jax.tree.leaves(jax.grad(length)(with_meta_params(made, values)))[0]
    assert bool(jnp.isfinite(slope).all())
    assert float(slope.reshape(-1)[0]) > 0


def test_the_global_rate_s_meta_gradient_is_that_of_the_formula() -> None:
    """One step on theta^2/2: of (1 - eta)^2 theta^2/2, d/d log eta is -eta (1 - eta) theta^2."""
    theta = jnp.asarray(3.0)

    @jax.jit
    @jax.grad
    def meta_gradient(optimizer):
        updates, _ = optimizer.transformation().update(theta, optax.EmptyState())
        return 0.5 * jnp.square(theta + updates)

    optimizer = GlobalLearningRate(key=jax.random.key(0))
    found = meta_gradient(optimizer).log_learning_rate
    np.testing.assert_allclose(found, -1e-3 * (1 - 1e-3) * 9.0, rtol=1e-5)


def test_every_step_takes_its_own_rate_and_all_later_ones_the_last() -> None:
    rates = [0.5, 0.25, 0.125]
    updates, state = run(schedule(rates).transformation(), [PARAMS] * 6)
    found = [float(-update["w"][0, 0]) for update in updates]
    np.testing.assert_allclose(found, [*rates, *[rates[-1]] * 3], rtol=1e-6)
    assert int(state.inner_step) == 6


def test_only_rates_that_were_used_get_a_meta_gradient() -> None:
    def meta_loss(optimizer):
        transformation = optimizer.transformation()
        params, state = PARAMS, transformation.init(PARAMS)
        for _ in range(2):
            updates, state = transformation.update(params, state)
            params = optax.apply_updates(params, updates)
        return jnp.square(params["w"]).sum()

    gradient = jax.jit(jax.grad(meta_loss))(schedule([0.5, 0.25, 0.125, 0.1])).log_learning_rates
    assert (gradient[:2] < 0).all()
    np.testing.assert_array_equal(gradient[2:], 0)


def test_the_released_schedule_has_a_thousand_rates(getkey) -> None:
    rates = LearningRateSchedule.release(key=getkey()).log_learning_rates
    np.testing.assert_allclose(jnp.exp(rates), np.full(1000, 1e-3), rtol=1e-6)


@pytest.mark.parametrize("steps", [0, -3])
def test_a_schedule_without_steps_is_refused(steps) -> None:
    with pytest.raises(ValueError, match=f"steps is {steps}"):
        LearningRateSchedule(steps=steps, key=jax.random.key(0))
