"""The noise of evolution strategies: which words it is made of, and how it is distributed."""

import hypothesis.strategies as st
import jax
import jax.extend.random
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given

from lopt.meta_gradients.noise import random_words, standard_normal

words = jax.jit(random_words, static_argnums=1)


@pytest.mark.parametrize("half", [1, 6, 64])
@given(seed=st.integers(0, 2**63 - 1))
def test_random_words_are_those_of_jax(half, seed):
    key = jax.random.key(seed)
    counts = jnp.arange(2 * half, dtype=jnp.uint32)
    theirs = jax.extend.random.threefry_2x32(jax.random.key_data(key), counts)
    assert np.array_equal(np.concatenate(words(key, half)), theirs)


@pytest.mark.parametrize("size", [1, 2, 8349])
def test_as_many_numbers_are_drawn_as_are_asked_for(size, getkey):
    assert standard_normal(getkey(), size).shape == (size,)


def test_noise_is_made_of_the_words_of_jax(getkey):
    """As it was drawn before the rounds were written out, so that old runs go on with theirs."""
    key, counts = getkey(), jnp.arange(198, dtype=jnp.uint32)
    theirs = jax.extend.random.threefry_2x32(jax.random.key_data(key), counts)[:197]
    uniform = (np.asarray(theirs >> 9, np.float32) + 0.5) * np.float32(2.0**-23)
    normal = scipy.special.ndtri(uniform.astype(np.float64))
    np.testing.assert_allclose(standard_normal(key, 197), normal, rtol=2e-5, atol=1e-6)


def test_noise_is_normal(getkey):
    numbers = np.asarray(standard_normal(getkey(), 100_000))
    assert np.isfinite(numbers).all()
    assert scipy.stats.kstest(numbers, "norm").pvalue > 1e-3


def test_numbers_of_a_key_do_not_follow_each_other(getkey):
    """Words of one count are two numbers here, half the vector apart."""
    first, second = np.split(np.asarray(standard_normal(getkey(), 100_000)), 2)
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(len(first))
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 5 / np.sqrt(len(first))
