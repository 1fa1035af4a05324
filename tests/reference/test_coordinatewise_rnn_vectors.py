"""The coordinatewise RNN, computed once more in float64: PAPER.md 4.8; Andrychowicz et al. 2016."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.architectures import CoordinatewiseRNN
from lopt.architectures.lstm import LSTM, LSTMState

STEPS, SCALARS, RATE = 4, 3, 1e-2


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(cell, x, memory, hidden):
    matrix, bias = np.float64(cell.gates.matrix), np.float64(cell.gates.bias)
    take, keep, show, candidate = np.split(
        matrix.T @ np.concatenate([x, hidden]) + bias[:, None], 4
    )
    memory = sigmoid(keep + 1) * memory + sigmoid(take) * np.tanh(candidate)
    return memory, sigmoid(show) * np.tanh(memory)


def stack(optimizer, x, states):
    for index, cell in enumerate(optimizer.network.cells):
        states[index] = lstm(cell, x, *states[index])
        x = states[index][1]
    return x


def first_states(optimizer):
    if optimizer.initial_state is None:
        return [(np.zeros((n, SCALARS)),) * 2 for n in optimizer.hidden_sizes]
    return [tuple(np.float64(s)[:, :, None].repeat(SCALARS, 2)) for s in optimizer.initial_state]


def release_steps(optimizer, gradients):
    network, states, rate, mean_square, found = (
        optimizer.network,
        first_states(optimizer),
        RATE,
        0,
        [],
    )
    for step, g in enumerate(gradients):
        w, b = np.float64(network.scale_decay.weights), np.float64(network.scale_decay.bias)
        decay = sigmoid(w @ states[-1][1] + b) if step else 0.0
        mean_square = decay * mean_square + (1 - decay) * (g**2 + 1e-12)
        h = stack(optimizer, np.arcsinh(g / np.sqrt(mean_square + 1e-16))[None], states)
        w, b = np.float64(network.rate_change.weights), np.float64(network.rate_change.bias)
        rate = 2 * sigmoid(w @ h + b) * rate
        found.append(rate * (np.float64(network.direction) @ h))
    return found


def andrychowicz_steps(optimizer, gradients):
    states, found = first_states(optimizer), []
    for g in gradients:
        large = np.abs(g) >= np.exp(-10)
        logarithm = np.where(large, np.log(np.abs(g)) / 10, -1)
        sign = np.where(large, np.sign(g), np.exp(10) * g)
        h = stack(optimizer, np.stack([logarithm, sign]), states)
        found.append(0.1 * (np.float64(optimizer.network.direction) @ h))
    return found


def drawn_anew(optimizer, key):
    """Every meta-param drawn from a normal distribution, that none of them is zero."""
    leaves, structure = jax.tree.flatten(optimizer)
    keys = jax.random.split(key, len(leaves))
    drawn = [0.5 * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, drawn)


@pytest.mark.parametrize(
    ("preset", "steps"),
    [
        (CoordinatewiseRNN.release, release_steps),
        (CoordinatewiseRNN.andrychowicz, andrychowicz_steps),
    ],
    ids=["release", "andrychowicz"],
)
def test_steps_are_those_of_the_formulas(preset, steps) -> None:
    optimizer = drawn_anew(preset(hidden_sizes=(4, 5), key=jax.random.key(0)), jax.random.key(1))
    sizes = np.array([1e2, 1.0, 1e-5])
    gradients = list(np.random.default_rng(0).normal(size=(STEPS, SCALARS)) * sizes)
    transformation = optimizer.transformation(RATE)
    state, update = transformation.init(jnp.zeros(SCALARS)), jax.jit(transformation.update)
    for gradient, step in zip(gradients, steps(optimizer, gradients), strict=True):
        updates, state = update(jnp.asarray(gradient, jnp.float32), state)
        np.testing.assert_allclose(updates, -step, rtol=5e-5, atol=1e-7)


def test_a_cell_without_weights_forgets_by_the_sigmoid_of_one() -> None:
    """sigmoid(1) = 0.7310586 and 0.5 tanh(0.7310586) = 0.3118563, by hand."""
    cell = jax.tree.map(jnp.zeros_like, LSTM(1, 1, key=jax.random.key(0)))
    one = jnp.ones((1, 1))
    state = cell(one, LSTMState(one, one))
    np.testing.assert_allclose(state.memory, [[0.7310586]], rtol=1e-6)
    np.testing.assert_allclose(state.hidden, [[0.3118563]], rtol=1e-5)


@pytest.mark.parametrize(
    ("preset", "meta_params"),
    [(CoordinatewiseRNN.release, 5182), (CoordinatewiseRNN.andrychowicz, 5140)],
)
def test_so_many_meta_params(preset, meta_params) -> None:
    """Cells of (inputs + 20 + 1) 80 and 41 80 weights, readouts of 20, 21 and 21, 80 first ones."""
    leaves = jax.tree.leaves(preset(key=jax.random.key(0)))
    assert sum(leaf.size for leaf in leaves) == meta_params
