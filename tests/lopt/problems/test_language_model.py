"""A small transformer against NumPy in float64, and the strings that it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.problems.generated_strings import generated_strings
from lopt.problems.language_model import TransformerLanguageModel

strings_of = jax.jit(generated_strings, static_argnums=(1, 2, 3))


def normalised(stream):
    return stream / np.sqrt(np.mean(stream**2, axis=-1, keepdims=True) + 1e-5)


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def attended(query, keys, values):
    """Causal attention of one head on one string."""
    scores = query @ keys.T / np.sqrt(query.shape[-1])
    scores[np.triu_indices(len(scores), 1)] = -np.inf
    weights = np.exp(scores - scores.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True) @ values


def logits_by_hand(params, string, heads):
    letters, places, *matrices, readout = (np.float64(leaf) for leaf in params)
    stream = letters[string] + places
    for layer in range(len(matrices) // 4):
        attention_in, attention_out, hidden, out = matrices[4 * layer : 4 * layer + 4]
        parts = np.split(normalised(stream) @ attention_in, 3, axis=-1)
        of_heads = zip(*(np.split(part, heads, axis=-1) for part in parts), strict=True)
        together = np.concatenate([attended(*of_head) for of_head in of_heads], axis=-1)
        stream = stream + together @ attention_out
        stream = stream + gelu(normalised(stream) @ hidden) @ out
    return normalised(stream) @ readout


@pytest.mark.parametrize("layers", [1, 2])
def test_the_loss_is_the_mean_cross_entropy_of_the_next_letter(layers, getkey):
    problem = TransformerLanguageModel(
        letters=5, length=6, layers=layers, width=8, heads=2, samples=3, key=getkey()
    )
    params, strings = problem.init(getkey()), np.asarray(problem.full_batch())
    losses = []
    for string in strings:
        logits = logits_by_hand(params, string[:-1], heads=2)
        losses.append(np.log(np.exp(logits).sum(1)) - logits[np.arange(5), string[1:]])
    loss = problem.loss(params, problem.full_batch(), getkey())
    np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-4)


def test_no_letter_is_foretold_from_later_ones(getkey):
    problem = TransformerLanguageModel(letters=5, length=7, width=8, samples=4, key=getkey())
    params, strings = problem.init(getkey()), problem.strings[:, :-1]
    changed = strings.at[:, 3].set((strings[:, 3] + 1) % 5)
    logits, others = problem.logits(params, strings), problem.logits(params, changed)
    np.testing.assert_allclose(logits[:, :3], others[:, :3], rtol=1e-5, atol=1e-6)
    assert (jnp.abs(logits[:, 3:] - others[:, 3:]).max(-1) > 1e-4).all()


def test_whoever_knows_nothing_loses_the_logarithm_of_the_number_of_letters(getkey):
    problem = TransformerLanguageModel(letters=7, length=4, width=4, samples=3, key=getkey())
    zero = jax.tree.map(jnp.zeros_like, problem.init(getkey()))
    loss = problem.loss(zero, problem.full_batch(), getkey())
    np.testing.assert_allclose(loss, np.log(7), rtol=1e-6)


@pytest.mark.parametrize("length", [2, 5, 8])
def test_the_second_half_of_a_string_is_the_first_again(length):
    strings = strings_of(jax.random.key(0), 30, length, 4)
    half = -(-length // 2)
    assert (strings.shape, strings.dtype) == ((30, length), jnp.int32)
    np.testing.assert_array_equal(strings[:, half:], strings[:, : length - half])
    assert set(np.unique(strings)) == {0, 1, 2, 3}


def test_which_letter_follows_is_far_from_even_and_another_language_has_others():
    def followers(key):
        strings = np.asarray(strings_of(key, 4000, 4, 5))
        counts = np.zeros((5, 5))
        np.add.at(counts, (strings[:, 0], strings[:, 1]), 1)
        return counts / counts.sum(1, keepdims=True)

    first, second = followers(jax.random.key(0)), followers(jax.random.key(1))
    assert first.max(1).mean() > 0.5
    assert np.abs(first - second).max() > 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"letters": 1}, "letters must be .* at least 2, but is 1"),
        ({"length": 1}, "length must be .* at least 2, but is 1"),
        ({"layers": 0}, "layers must be .* at least 1, but is 0"),
        ({"width": 6, "heads": 4}, "heads must divide width, which is 6, but is 4"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message, getkey):
    with pytest.raises(ValueError, match=message):
        TransformerLanguageModel(**arguments, key=getkey())
