"""The derivatives by hand of AdafactorMLP."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.architectures.adafactor_features import Factor, repeated
from lopt.architectures.adafactor_normalisation import normalised
from lopt.architectures.adafactor_rule import _LARGEST_EXPONENT, _step
from lopt.architectures.adafactor_steps import bounded
from lopt.architectures.blocks import Blocks

FEATURES = 5


def plainly_normalised(sizes, features, valid):
    """The same, tensor by tensor, by operations that JAX has the derivatives of."""
    made = []
    for start, end in itertools.pairwise([0, *itertools.accumulate(sizes)]):
        of_tensor, real = features[:, start:end], valid[start:end]
        squares = jnp.where(real[None], jnp.square(of_tensor), 0.0).sum(1, keepdims=True)
        count = jnp.maximum(real.astype(jnp.float32).sum(), 1.0)
        made.append(of_tensor / jnp.sqrt(squares / count + 1e-5))
    return jnp.concatenate(made, axis=1)


def assert_same_derivative(found, expected, args, change) -> None:
    (ours, our_pull), (theirs, their_pull) = jax.vjp(found, *args), jax.vjp(expected, *args)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    for a, b in zip(our_pull(change), their_pull(change), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sizes", [(7,), (4, 1, 3)])
@pytest.mark.parametrize("padded", [False, True])
def test_features_in_units_of_their_size_have_the_derivative_of_the_operations(
    sizes, padded, getkey
) -> None:
    features, change = jax.random.normal(getkey(), (2, FEATURES, sum(sizes)))
    valid = jnp.arange(sum(sizes)) != 1 if padded else jnp.ones(sum(sizes), bool)
    packed = Blocks(sizes)
    parts = jnp.split(valid, np.cumsum(sizes)[:-1])
    ours = partial(normalised, packed, extent=packed.extent(parts if padded else None))
    theirs = partial(plainly_normalised, sizes, valid=valid)
    assert_same_derivative(ours, theirs, (features,), change)


@pytest.mark.parametrize("magnitude", [-3.0, 0.0, 40.0, 1e3])
def test_a_step_has_the_derivative_of_the_operations(magnitude) -> None:
    def plainly(direction, magnitude):
        return 1e-30 * direction * jnp.exp(jnp.minimum(2.0 * magnitude, _LARGEST_EXPONENT))

    args = jnp.asarray([-1.5, 0.0, 2.0]), jnp.full(3, magnitude - 1e-3)
    assert_same_derivative(partial(_step, 1e-30, 2.0), plainly, args, jnp.ones(3))


def test_what_is_cut_or_not_finite_has_no_derivative() -> None:
    values = jnp.asarray([jnp.nan, -jnp.inf, -3.0, -1.0, 0.0, 2.5])
    slopes = jax.grad(lambda values: bounded(2.0, values).sum())(values)
    np.testing.assert_array_equal(slopes, [0, 0, 0, 1, 1, 0])


def test_a_factor_s_product_has_the_derivative_of_the_operations(getkey) -> None:
    rows = jax.random.normal(getkey(), (3, 2, 4, 1))
    columns = jax.random.normal(getkey(), (3, 2, 1, 5))
    change = jax.random.normal(getkey(), (3, 2, 4, 5))

    def ours(rows, columns):
        return Factor(rows, columns).product()

    assert_same_derivative(ours, jnp.multiply, (rows, columns), change)


@pytest.mark.parametrize("times", [1, 3])
def test_what_is_repeated_has_the_derivative_of_a_broadcast(times, getkey) -> None:
    values, change = jax.random.normal(getkey(), (4,)), jax.random.normal(getkey(), (times, 4))
    broadcast = partial(jnp.broadcast_to, shape=(times, 4))
    assert_same_derivative(lambda one: repeated(one, times), broadcast, [values], change)
