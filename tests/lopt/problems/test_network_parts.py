"""Activations, first weights and convolutions against NumPy and JAX's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.problems.activations import FUNCTIONS, Activation
from lopt.problems.convolutions import convolved
from lopt.problems.initial_weights import Initialization, standard_normals

BY_HAND = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
}


def test_every_activation_is_what_its_name_says():
    units = np.linspace(-4.0, 4.0, 9)
    assert set(BY_HAND) == set(FUNCTIONS)
    for name, by_hand in BY_HAND.items():
        found = Activation(name)(jnp.asarray(units, jnp.float32))
        np.testing.assert_allclose(found, by_hand(units), rtol=1e-5, atol=1e-6)


def test_activations_side_by_side_keep_to_themselves_even_where_units_are_huge():
    names = list(FUNCTIONS)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(Activation, names))
    units = jnp.asarray([-1e30, -1.0, 2.0, 1e30], jnp.float32)

    def slopes(activation):
        return jax.vmap(jax.grad(activation))(units)

    together = jax.jit(jax.vmap(slopes))(stacked)
    for name, found in zip(names, together, strict=True):
        np.testing.assert_allclose(found, slopes(Activation(name)), rtol=1e-5, atol=1e-6)
        assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("name", "weights", "biases"),
    [
        ("he", np.sqrt(2 / 50), 0.1),
        ("glorot", np.sqrt(2 / 80), 0.1),
        ("small", 0.01, 0.01),
        ("unit", 1.0, 1.0),
    ],
)
def test_first_weights_have_the_deviation_of_their_scheme(name, weights, biases):
    scheme = Initialization(name)
    np.testing.assert_allclose(scheme.of_weights(50, 30), weights, rtol=1e-6)
    np.testing.assert_allclose(scheme.of_biases(), biases, rtol=1e-6)


def test_arrays_drawn_at_once_are_standard_normal_and_share_no_numbers(getkey):
    first, second = standard_normals(getkey(), [(100, 60), (3000,)])
    assert (first.shape, second.shape) == ((100, 60), (3000,))
    everything = np.concatenate([np.ravel(first), second])
    assert len(np.unique(everything)) > 8990
    np.testing.assert_allclose([everything.mean(), everything.std()], [0.0, 1.0], atol=0.05)


@pytest.mark.parametrize(("window", "stride"), [(1, 1), (2, 1), (3, 1), (5, 1), (3, 2), (5, 3)])
def test_our_convolution_is_the_convolution(window, stride, getkey):
    images = jax.random.normal(getkey(), (2, 7, 4, 3), jnp.float32)
    kernel = jax.random.normal(getkey(), (window, window, 3, 4), jnp.float32)
    edges = ((window - 1) // 2, window // 2)
    padding = "SAME" if stride == 1 else (edges, edges)
    expected = jax.lax.conv_general_dilated(
        images, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    found = convolved(images, kernel, stride)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("made", "name"), [(Activation, "step"), (Initialization, "lecun")])
def test_names_that_are_none_are_refused(made, name):
    with pytest.raises(ValueError, match=f"must be one of .*, but is '{name}'"):
        made(name)
