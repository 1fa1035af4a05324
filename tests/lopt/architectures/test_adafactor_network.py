"""The derivative by hand of the MLP of AdafactorMLP."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.architectures.adafactor_network import Extents, Layer, backward, forward
from lopt.architectures.blocks import Blocks

FEATURES = 5


def step(direction, magnitude):
    return direction * jnp.exp(0.1 * magnitude)


def plainly(sizes, layers, features, valid):
    """The same, tensor by tensor, by operations that JAX has the derivatives of."""
    steps, start = [], 0
    for size in sizes:
        of_tensor, real = features[:, start : start + size], valid[start : start + size]
        squares = jnp.where(real[None], jnp.square(of_tensor), 0.0).sum(1, keepdims=True)
        units = of_tensor / jnp.sqrt(squares / jnp.maximum(real.sum(), 1) + 1e-5)
        for index, layer in enumerate(layers):
            units = jnp.maximum(units, 0.0) if index else units
            units = layer.weights @ units + layer.bias[:, None]
        steps.append(step(*units))
        start += size
    return jnp.concatenate(steps)


def layers_of(key, widths):
    keys = iter(jax.random.split(key, 2 * len(widths)))
    return [
        Layer(jax.random.normal(next(keys), (after, before)), jax.random.normal(next(keys), after))
        for before, after in itertools.pairwise(widths)
    ]


@pytest.mark.parametrize("sizes", [(7,), (4, 1, 3)])
@pytest.mark.parametrize("hidden", [(), (3,), (4, 2)])
@pytest.mark.parametrize("padded", [False, True])
def test_the_derivative_by_hand_is_that_of_the_operations(sizes, hidden, padded, getkey) -> None:
    n = sum(sizes)
    layers = layers_of(getkey(), [FEATURES, *hidden, 2])
    features = jax.random.normal(getkey(), (FEATURES, n))
    valid = jnp.arange(n) != 1 if padded else jnp.ones(n, bool)
    parts = jnp.split(valid, np.cumsum(sizes)[:-1])
    packed = Blocks(sizes)
    extents = Extents(
        valid if padded else None, jnp.stack([part.sum().astype(jnp.float32) for part in parts])
    )

    # Whoever pads throws the steps of padding away.
    change = jnp.where(valid, jax.random.normal(getkey(), (n,)), 0.0)
    steps, kept = forward(packed, step, layers, features, extents)
    weights = [layer.weights for layer in layers]
    found = backward(packed, step, weights, features, extents, kept, change)
    by_operations, pull = jax.vjp(partial(plainly, sizes, valid=valid), layers, features)
    np.testing.assert_allclose(steps, by_operations, rtol=1e-4, atol=1e-5)
    expected = pull(change)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * float(jnp.abs(b).max()))
