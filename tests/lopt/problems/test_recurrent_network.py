"""A recurrent network against NumPy in float64, and the sequences that it adds."""

import jax.numpy as jnp
import numpy as np
import pytest

from lopt.problems.recurrent_network import RecurrentNetwork, adding_sequences


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_the_loss_is_the_squared_error_of_a_gated_recurrent_unit(getkey):
    problem = RecurrentNetwork(length=5, units=3, samples=7, key=getkey())
    params, (sequences, sums) = problem.init(getkey()), problem.full_batch()
    assert [leaf.shape for leaf in params] == [(2, 9), (3, 9), (9,), (3, 1), (1,)]
    into, recurrent, biases, weights, bias = (np.float64(leaf) for leaf in params)
    state = np.zeros((7, 3))
    for item in np.float64(sequences).swapaxes(0, 1):
        from_input, from_state = item @ into + biases, state @ recurrent
        update = sigmoid(from_input[:, :3] + from_state[:, :3])
        reset = sigmoid(from_input[:, 3:6] + from_state[:, 3:6])
        new = np.tanh(from_input[:, 6:] + reset * from_state[:, 6:])
        state = update * state + (1 - update) * new
    expected = np.mean(((state @ weights + bias)[:, 0] - np.float64(sums)) ** 2)
    loss = problem.loss(params, (sequences, sums), getkey())
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("length", [2, 7])
def test_one_number_is_marked_in_each_half_and_the_sum_is_theirs(length, getkey):
    sequences, sums = adding_sequences(getkey(), 50, length)
    numbers, marks = np.float64(sequences[..., 0]), np.asarray(sequences[..., 1])
    assert sequences.shape == (50, length, 2)
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert set(np.unique(marks)) <= {0.0, 1.0}
    assert (marks[:, : length // 2].sum(1) == 1).all()
    assert (marks[:, length // 2 :].sum(1) == 1).all()
    np.testing.assert_allclose(sums, (numbers * marks).sum(1), rtol=1e-6)


def test_whoever_says_1_always_loses_a_sixth(getkey):
    problem = RecurrentNetwork(length=6, units=2, samples=20000, key=getkey())
    params = [jnp.zeros_like(leaf) for leaf in problem.init(getkey())]
    params[-1] = jnp.ones((1,), jnp.float32)
    loss = problem.loss(tuple(params), problem.full_batch(), getkey())
    # The standard deviation of (u + v - 1)^2 is about 0.2.
    np.testing.assert_allclose(loss, 1 / 6, atol=4 * 0.2 / np.sqrt(20000))


def test_drawing_anew_gives_other_sequences(getkey):
    problem = RecurrentNetwork(length=4, units=2, samples=5, key=getkey())
    drawn = problem.draw(getkey())
    assert (drawn.sequences[..., 0] != problem.sequences[..., 0]).all()
    assert (drawn.sums != problem.sums).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 1}, "length must be .* at least 2, but is 1"),
        ({"units": 0}, "units must be .* at least 1, but is 0"),
        ({"samples": 0}, "samples must be .* at least 1, but is 0"),
        ({"initialization": "zero"}, "initialization must be one of he"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message, getkey):
    with pytest.raises(ValueError, match=message):
        RecurrentNetwork(**arguments, key=getkey())
