"""In which order problems are added up."""

import functools

import hypothesis.strategies as st
import jax
import numpy as np
from hypothesis import given
from hypothesis.extra import numpy as hnp

from lopt.meta_gradients.adding import BLOCKS, sum_of_problems

# Far from where float32 has fewer digits, which compiled programs take for zero.
NUMBERS = st.integers(-(2**24), 2**24).map(lambda number: np.float32(number / 1024))
added_up = jax.jit(sum_of_problems)


def one_after_the_other(terms):
    return functools.reduce(np.add, terms)


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 3), st.integers(1, 50)), elements=NUMBERS))
def test_a_sum_of_problems_is_their_sum(values):
    exact, sizes = (rows.astype(np.float64).sum(-1) for rows in (values, np.abs(values)))
    assert np.all(np.abs(added_up(values) - exact) <= 1e-6 * sizes)


@given(hnp.arrays(np.float32, (3, 4 * BLOCKS), elements=NUMBERS))
def test_blocks_of_neighbours_are_added_up_before_their_sums_are(values):
    """Whoever has whole blocks can add up each of them without the others' problems."""
    blocks = values.reshape(3, BLOCKS, 4)
    sums = one_after_the_other(np.moveaxis(blocks, 2, 0))
    assert np.array_equal(added_up(values), one_after_the_other(sums.T))
