"""In which order problems are added up."""

import functools

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from lopt.meta_gradients.adding import BLOCKS, sum_of_problems, sum_of_rows

# Far from where float32 has fewer digits, which compiled programs take for zero.
NUMBERS = st.integers(-(2**24), 2**24).map(lambda number: np.float32(number / 1024))
added_up = jax.jit(sum_of_problems)
rows_added_up = jax.jit(lambda values: sum_of_rows(values.T))
EITHER_WAY = pytest.mark.parametrize("added_up", [added_up, rows_added_up], ids=["last", "first"])


def one_after_the_other(terms):
    return functools.reduce(np.add, terms)


@EITHER_WAY
@given(
    values=hnp.arrays(
        np.float32, st.tuples(st.integers(1, 3), st.integers(1, 50)), elements=NUMBERS
    )
)
def test_a_sum_of_problems_is_their_sum(added_up, values):
    exact, sizes = (rows.astype(np.float64).sum(-1) for rows in (values, np.abs(values)))
    assert np.all(np.abs(added_up(values) - exact) <= 1e-6 * sizes)


@EITHER_WAY
@given(values=hnp.arrays(np.float32, (3, 4 * BLOCKS), elements=NUMBERS))
def test_blocks_of_neighbours_are_added_up_before_their_sums_are(added_up, values):
    """Whoever has whole blocks can add up each of them without the others' problems."""
    blocks = values.reshape(3, BLOCKS, 4)
    sums = one_after_the_other(np.moveaxis(blocks, 2, 0))
    assert np.array_equal(added_up(values), one_after_the_other(sums.T))
