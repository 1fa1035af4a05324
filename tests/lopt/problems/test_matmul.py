"""Matrix multiplication: the loss against NumPy in float64, and against Strassen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lopt.problems.matmul import MatMulAlgorithm
from tests.lopt.problems.derivatives import loss_and_derivatives

KEY = jax.random.key(0)

# Strassen 1969: seven products of a form in a11, a12, a21, a22 and one in b11, b12, b21, b22.
STRASSEN = (
    np.float32(
        [[1, 0, 0, 1], [0, 0, 1, 1], [1, 0, 0, 0], [0, 0, 0, 1], [1, 1, 0, 0], [-1, 0, 1, 0],
         [0, 1, 0, -1]]
    ).T,
    np.float32(
        [[1, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, -1], [-1, 0, 1, 0], [0, 0, 0, 1], [1, 1, 0, 0],
         [0, 0, 1, 1]]
    ).T,
)  # fmt: skip


def by_hand(params, size):
    """Multiply all pairs of unit matrices, one after the other, and solve by SVD."""
    left, right = map(np.float64, params)
    units = np.eye(size**2).reshape(-1, size, size)
    products, wanted = [], []
    for one in units:
        for other in units:
            products.append((one.ravel() @ left) * (other.ravel() @ right))
            wanted.append((one @ other).ravel())
    products, wanted = np.array(products), np.array(wanted)
    weights = np.linalg.lstsq(products, wanted, rcond=None)[0]
    return np.sum((products @ weights - wanted) ** 2)


@pytest.mark.parametrize(("size", "rank"), [(1, 1), (2, 5), (2, 8), (3, 19), (3, 24)])
def test_the_loss_is_the_squared_error_of_the_best_combination(size, rank, getkey):
    problem = MatMulAlgorithm(size=size, rank=rank)
    left, right = problem.init(getkey())
    assert left.shape == right.shape == (size**2, rank)
    loss = problem.loss((left, right), None, getkey())
    np.testing.assert_allclose(loss, by_hand((left, right), size), rtol=1e-5, atol=1e-8)


def test_columns_begin_with_length_one(getkey):
    for factor in MatMulAlgorithm(size=3, rank=19).init(getkey()):
        np.testing.assert_allclose(jnp.sum(factor**2, axis=0), 1.0, rtol=1e-5)


def test_the_gradient_is_that_of_the_formula(getkey):
    problem = MatMulAlgorithm(size=2, rank=5)
    params = problem.init(getkey())
    _, gradient, _ = loss_and_derivatives(problem, params)
    direction = [np.float64(one) for one in problem.init(getkey())]
    ahead, behind = (
        [np.float64(one) + step * along for one, along in zip(params, direction, strict=True)]
        for step in (1e-6, -1e-6)
    )
    slope = (by_hand(ahead, 2) - by_hand(behind, 2)) / 2e-6
    along = sum(np.sum(one * other) for one, other in zip(gradient, direction, strict=True))
    np.testing.assert_allclose(along, slope, rtol=1e-4)


def test_strassen_s_algorithm_has_a_loss_of_zero_and_lengths_of_columns_mean_nothing():
    problem = MatMulAlgorithm(size=2, rank=7, padded_to=8)
    rescaled = [np.float32(10.0 ** np.linspace(-3, 3, 7)) * factor for factor in STRASSEN]
    for factors in (STRASSEN, rescaled):
        params = tuple(jnp.pad(jnp.asarray(factor), ((0, 0), (0, 1))) for factor in factors)
        loss, *derivatives = loss_and_derivatives(problem, params)
        assert 0 <= loss < 1e-12
        assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(derivatives))


def test_six_products_are_not_enough_for_strassen():
    problem = MatMulAlgorithm(size=2, rank=6)
    params = tuple(jnp.asarray(factor[:, :6]) for factor in STRASSEN)
    np.testing.assert_allclose(problem.loss(params, None, KEY), by_hand(params, 2), rtol=1e-5)
    assert by_hand(params, 2) > 0.1


@given(st.integers(0, 2**16), st.floats(-9, 0), st.booleans(), st.floats(-4, 4))
def test_nearly_dependent_products_give_a_finite_loss_that_is_not_negative(
    seed, log_distance, from_strassen, log_spread
):
    random = np.random.default_rng(seed)
    # Columns are those of Strassen, or copies of one or two, so that the Gram matrix is singular.
    columns = np.arange(7) if from_strassen else random.integers(0, 2, 7)
    spread = 10.0 ** (log_spread * random.uniform(size=7))
    params = tuple(
        spread * (factor[:, columns] + 10.0**log_distance * random.normal(size=(4, 7)))
        for factor in STRASSEN
    )
    params = tuple(jnp.pad(jnp.asarray(one, jnp.float32), ((0, 0), (0, 1))) for one in params)
    problem = MatMulAlgorithm(size=2, rank=7, padded_to=8)
    loss, *derivatives = loss_and_derivatives(problem, params)
    assert 0 <= loss <= 8.001
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(derivatives))


def test_columns_of_zeros_have_a_loss_and_derivatives():
    problem = MatMulAlgorithm(size=2, rank=7, padded_to=8)
    zeros = (jnp.zeros((4, 8), jnp.float32),) * 2
    loss, *derivatives = loss_and_derivatives(problem, zeros)
    np.testing.assert_allclose(loss, 8.0)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(derivatives))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0, "rank": 1}, "size must be .* at least 1, but is 0"),
        ({"size": 2, "rank": 0}, "rank must be .* at least 1, but is 0"),
        ({"size": 2, "rank": 8, "padded_to": 7}, "padded_to must be 0, .* rank, which is 8"),
    ],
)
def test_sizes_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MatMulAlgorithm(**arguments)
