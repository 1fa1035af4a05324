"""Minibatches: reshuffled epochs, addressed by position."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Array, Key

from lopt.datasets import images_to_float, shuffled_batches

# Few sizes, because each is another program.
SIZES = st.sampled_from([(1, 1), (7, 2), (7, 7), (7, 9), (12, 4)])
FEW = settings(max_examples=15)


@FEW
@given(sizes=SIZES, first=st.integers(0, 40), steps=st.sampled_from([1, 5]))
def test_going_on_from_a_step_equals_one_long_call(
    sizes: tuple[int, int], first: int, steps: int
) -> None:
    size, batch_size = sizes
    key = jax.random.key(5)
    whole = shuffled_batches(key, size, batch_size, 45)
    part = shuffled_batches(key, size, batch_size, steps, first)
    np.testing.assert_array_equal(part, whole[first : first + steps])


@FEW
@given(sizes=SIZES, seed=st.integers(0, 100))
def test_an_epoch_takes_no_example_twice_and_drops_its_tail(
    sizes: tuple[int, int], seed: int
) -> None:
    size, batch_size = sizes
    per_epoch = max(1, size // batch_size)
    batches = np.asarray(shuffled_batches(jax.random.key(seed), size, batch_size, 3 * per_epoch))
    assert batches.shape == (3 * per_epoch, min(batch_size, size))
    for epoch in np.split(batches, 3):
        assert len(np.unique(epoch)) == epoch.size
        assert 0 <= epoch.min() <= epoch.max() < size


def test_a_batch_larger_than_the_data_set_is_the_whole_of_it(
    getkey: Callable[[], Key[Array, ""]],
) -> None:
    batches = shuffled_batches(getkey(), 5, 23, 4)
    np.testing.assert_array_equal(np.sort(batches, axis=1), np.tile(np.arange(5), (4, 1)))


def test_every_epoch_has_another_order(getkey: Callable[[], Key[Array, ""]]) -> None:
    orders = np.asarray(shuffled_batches(getkey(), 100, 100, 6))
    assert len(np.unique(orders, axis=0)) == 6


def test_other_keys_give_other_batches(getkey: Callable[[], Key[Array, ""]]) -> None:
    first, second = (shuffled_batches(getkey(), 100, 10, 10) for _ in range(2))
    assert not np.array_equal(first, second)


def test_the_position_may_be_traced(getkey: Callable[[], Key[Array, ""]]) -> None:
    key = getkey()

    @jax.jit
    def batches(first_step: Array) -> Array:
        return shuffled_batches(key, 12, 5, 3, first_step)

    for first_step in (0, 1, 17):
        found = batches(jnp.int32(first_step))
        assert found.dtype == jnp.int32
        np.testing.assert_array_equal(found, shuffled_batches(key, 12, 5, 3, first_step))


def test_keys_can_be_mapped_over(getkey: Callable[[], Key[Array, ""]]) -> None:
    keys = jax.random.split(getkey(), 3)
    found = jax.vmap(lambda key: shuffled_batches(key, 12, 5, 4))(keys)
    expected = jnp.stack([shuffled_batches(key, 12, 5, 4) for key in keys])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("wrong", ["size", "batch_size", "steps"])
def test_nothing_to_batch_is_refused(wrong: str, getkey: Callable[[], Key[Array, ""]]) -> None:
    arguments = {"size": 4, "batch_size": 2, "steps": 3} | {wrong: 0}
    with pytest.raises(ValueError, match=f"{wrong} must be at least 1, but is 0"):
        shuffled_batches(getkey(), **arguments)


@pytest.mark.parametrize("form", [np.asarray, jnp.asarray])
def test_levels_become_fractions_of_one_in_the_same_shape(form: Callable[..., Array]) -> None:
    images = np.arange(256, dtype=np.uint8).reshape(2, 8, 8, 2)
    pixels = images_to_float(form(images))
    assert pixels.dtype == jnp.float32
    np.testing.assert_allclose(pixels, images / 255, rtol=1e-6)
