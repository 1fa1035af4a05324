"""Laws of how long trajectories are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lopt.meta_gradients import ExponentialLengths, GrowingLengths, LogUniformLengths

DRAWS = 20_000
draw = jax.jit(lambda lengths, key, meta_step: lengths.draw(key, (DRAWS,), meta_step))


def test_exponential_lengths_are_heavy_tailed_between_the_shortest_and_the_longest(getkey):
    lengths = ExponentialLengths(shortest=2, mean_extra=40.0, longest=100)
    drawn = draw(lengths, getkey(), jnp.array(0))
    assert drawn.dtype == jnp.int32
    assert int(drawn.min()) == 2
    assert int(drawn.max()) == 100
    # The median's standard error is 40 / sqrt(20000), a hundredth of it.
    assert float(jnp.median(drawn)) == pytest.approx(2 + 40 * np.log(2), rel=0.05)


def test_each_octave_of_log_uniform_lengths_is_as_likely(getkey):
    drawn = np.asarray(draw(LogUniformLengths(4, 63), getkey(), jnp.array(0)))
    assert drawn.dtype == np.int32
    assert (drawn.min(), drawn.max()) == (4, 63)
    octaves = np.bincount(np.floor(np.log2(drawn)).astype(int))[2:]
    assert len(octaves) == 4
    # Four standard deviations of a count.
    expected = DRAWS / 4
    np.testing.assert_allclose(octaves, expected, atol=4 * np.sqrt(expected))


@pytest.mark.parametrize("lengths", [ExponentialLengths(7, 0.0, 7), LogUniformLengths(7, 7)])
def test_lengths_without_a_range_are_all_alike(lengths, getkey):
    assert (draw(lengths, getkey(), jnp.array(0)) == 7).all()


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(0, 60), st.integers(1, 500), st.data())
def test_a_curriculum_grows_from_the_first_to_the_last(first, more, meta_steps, data):
    last = first + more
    # Where all are long, every length is the longest there is.
    lengths = GrowingLengths(LogUniformLengths(10**6, 10**6), first, last, meta_steps)

    def longest(meta_step):
        return int(lengths.draw(jax.random.key(0), (), jnp.array(meta_step)))

    one, other = sorted(data.draw(st.tuples(*[st.integers(0, 2 * meta_steps)] * 2)))
    assert longest(0) == first
    assert longest(meta_steps) == longest(10 * meta_steps) == last
    assert first <= longest(one) <= longest(other) <= last


def test_a_curriculum_cuts_the_lengths_it_is_given_and_grows_geometrically(getkey):
    lengths = LogUniformLengths(3, 60)
    growing = GrowingLengths(lengths, first=1, last=100, meta_steps=10)
    key = getkey()
    uncut = draw(lengths, key, jnp.array(0))
    for meta_step, longest in ((0, 1), (5, 10), (10, 100), (11, 100)):
        cut = draw(growing, key, jnp.array(meta_step))
        np.testing.assert_array_equal(cut, jnp.minimum(uncut, longest))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ExponentialLengths(100, 1.0, 60), "shortest is 100 and longest 60"),
        (lambda: ExponentialLengths(shortest=0), "shortest is 0"),
        (lambda: ExponentialLengths(mean_extra=-1.0), "mean_extra is -1.0, but must not be"),
        (lambda: ExponentialLengths(mean_extra=float("nan")), "mean_extra is nan"),
        (lambda: LogUniformLengths(5, 4), "shortest is 5 and longest 4"),
        (lambda: LogUniformLengths(0, 4), "shortest is 0"),
        (lambda: GrowingLengths(LogUniformLengths(), first=0), "first is 0"),
        (lambda: GrowingLengths(LogUniformLengths(), 5, 4), "first is 5, last 4"),
        (lambda: GrowingLengths(LogUniformLengths(), meta_steps=0), "meta_steps 0"),
    ],
)
def test_lengths_that_contradict_themselves_are_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
