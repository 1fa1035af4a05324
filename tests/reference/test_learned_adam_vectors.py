"""Adam by the formulas of Kingma and Ba 2015, algorithm 1, with PAPER.md 4.8's epsilons."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lopt.architectures import LearnedAdam

RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8


def adam_steps(gradients, added=1e-10):
    """In float64: the steps and the averages after each."""
    m, v, found = np.zeros_like(gradients[0]), np.zeros_like(gradients[0]), []
    for t, g in enumerate(gradients, start=1):
        m = BETA1 * m + (1 - BETA1) * g
        v = BETA2 * v + (1 - BETA2) * g**2
        denominator = np.sqrt(v / (1 - BETA2**t) + added) + EPSILON + 1e-10
        found.append((RATE * m / (1 - BETA1**t) / denominator, m, v))
    return found


def run(transformation, gradients):
    state = transformation.init(jnp.zeros(gradients[0].shape))
    update = jax.jit(transformation.update)
    for gradient in gradients:
        updates, state = update(jnp.asarray(gradient, jnp.float32), state)
        yield updates, state


@pytest.fixture
def gradients() -> list[np.ndarray]:
    """Of all sizes, some so small that 1e-10 matters and one scalar always zero."""
    draws = np.random.default_rng(3).normal(size=(20, 6))
    return list(draws * np.array([1e3, 1.0, 1e-3, 1e-5, 1e-7, 0.0]))


def test_steps_and_averages_are_those_of_the_formulas(gradients) -> None:
    optimizer = LearnedAdam.release(key=jax.random.key(0))
    found = run(optimizer.transformation(), gradients)
    for (updates, state), (step, m, v) in zip(found, adam_steps(gradients), strict=True):
        np.testing.assert_allclose(updates, -step, rtol=2e-5, atol=1e-12)
        np.testing.assert_allclose(state.momenta, m, rtol=2e-5, atol=1e-9 * np.abs(m).max())
        np.testing.assert_allclose(state.mean_squares, v, rtol=2e-5, atol=0)


def test_it_begins_as_optax_s_adam_where_gradients_are_not_tiny(gradients) -> None:
    large = [gradient[:2] for gradient in gradients]
    ours = run(LearnedAdam.release(key=jax.random.key(0)).transformation(), large)
    # optax.adam itself divides a float by a whole number.
    with jax.numpy_dtype_promotion("standard"):
        theirs = list(run(optax.adam(RATE), large))
    for (a, _), (b, _) in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4)


@pytest.mark.parametrize(
    ("gradient", "step"), [(2.0, 1e-3), (-0.1, -1e-3), (1e-5, 7.066021e-4), (1e-8, 9.989905e-7)]
)
def test_the_first_step_is_the_rate_but_for_tiny_gradients(gradient, step) -> None:
    """g / (sqrt(g^2 + 1e-10) + 1.01e-8) times 1e-3, by hand."""
    optimizer = LearnedAdam.release(key=jax.random.key(0))
    ((updates, _),) = run(optimizer.transformation(), [np.array([gradient])])
    np.testing.assert_allclose(updates, [-step], rtol=2e-6)


def test_the_numbers_begin_at_adam_s_own() -> None:
    optimizer = LearnedAdam.release(key=jax.random.key(0))
    found = [
        jnp.exp(optimizer.log_learning_rate),
        1 - jax.nn.sigmoid(optimizer.beta1_logit),
        1 - jax.nn.sigmoid(optimizer.beta2_logit),
        jnp.exp(optimizer.log_epsilon),
    ]
    np.testing.assert_allclose(found, [RATE, 1 - BETA1, 1 - BETA2, EPSILON], rtol=1e-4)
