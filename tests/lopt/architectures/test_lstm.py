"""The cell is its formula, and so are its derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lopt.architectures.lstm import LSTM, LSTMState


def formula(cell, x, state):
    """As the class says it, differentiated by JAX."""
    before = cell.gates(jnp.concatenate([x, state.hidden]))
    take, keep, show, candidate = jnp.split(before, 4)
    memory = jax.nn.sigmoid(keep + 1) * state.memory
    memory = memory + jax.nn.sigmoid(take) * jnp.tanh(candidate)
    return LSTMState(memory, jax.nn.sigmoid(show) * jnp.tanh(memory))


def drawn(seed, inputs, hidden, columns, size):
    keys = jax.random.split(jax.random.key(seed), 5)
    cell = LSTM(inputs, hidden, key=keys[0])
    bias = jax.random.normal(keys[1], cell.gates.bias.shape)
    cell = jax.tree.map(lambda leaf: bias if leaf is cell.gates.bias else leaf, cell)
    shapes = ((inputs, columns), (hidden, columns), (hidden, columns))
    x, memory, h = (size * jax.random.normal(k, s) for k, s in zip(keys[2:], shapes, strict=True))
    return cell, x, LSTMState(memory, h)


cases = given(
    st.integers(0, 2**31 - 1),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from([0.1, 1.0, 30.0]),
)


@settings(max_examples=20)
@cases
def test_a_step_is_the_formula(seed, inputs, hidden, columns, size):
    cell, x, state = drawn(seed, inputs, hidden, columns, size)
    for found, wanted in zip(cell(x, state), formula(cell, x, state), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-6)


@settings(max_examples=20)
@cases
def test_its_gradients_are_those_of_the_formula(seed, inputs, hidden, columns, size):
    arguments = drawn(seed, inputs, hidden, columns, size)
    cotangents = formula(*drawn(seed + 1, inputs, hidden, columns, 1.0))

    def gradients(step):
        return jax.tree.leaves(jax.vjp(step, *arguments)[1](cotangents))

    found, wanted = gradients(lambda cell, x, state: cell(x, state)), gradients(formula)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5 * max(1.0, size))
