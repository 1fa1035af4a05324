"""How tensors are seen as rows and columns, what is averaged over them, and slabs of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lopt.architectures import tensor_views
from lopt.architectures.tensor_views import Means, Slabs, View

shapes = st.lists(st.integers(1, 6), max_size=4).map(tuple)
seen_shapes = st.tuples(*[st.integers(1, 6)] * 3)


@pytest.mark.parametrize(
    ("shape", "seen"),
    [
        ((), (1, 1, 1)),
        ((5,), (1, 1, 5)),
        ((5, 1), (1, 5, 1)),
        ((784, 120), (1, 784, 120)),
        ((3, 3, 64, 32), (9, 64, 32)),
        ((5, 5, 1, 8), (5, 5, 8)),
        ((7, 2, 9), (2, 7, 9)),
    ],
)
def test_rows_and_columns_are_the_two_longest_axes(shape, seen) -> None:
    assert View(shape).shape == seen


@settings(max_examples=10)
@given(shape=shapes)
def test_unseeing_undoes_seeing(shape) -> None:
    view, tensor = View(shape), jnp.arange(np.prod(shape, initial=1.0)).reshape(shape)
    np.testing.assert_array_equal(view.unsee(view.see(tensor)), tensor)


@pytest.mark.parametrize(
    ("shape", "room"), [((1, 2, 5), (1, 6, 5)), ((3, 4, 2), (4, 4, 7)), ((2, 3, 3), (2, 3, 3))]
)
def test_means_with_padding_are_those_without_it(shape, room) -> None:
    inside = tuple(slice(length) for length in shape)
    values = jnp.asarray(np.random.default_rng(0).normal(size=room), jnp.float32)

    @jax.jit
    def every_mean(values, valid):
        means = Means(values.shape, valid)
        of_rows, of_columns = values[None, ..., :1], values[None, ..., :1, :]
        whole = means.total(), means.of_all(values[None]), means.of_all(of_rows)
        along = means.along(1, values)[..., : shape[2]], means.along(2, values)[:, : shape[1]]
        return whole, along, means.of_lines(1, of_rows), means.of_lines(2, of_columns)

    found = every_mean(values, jnp.zeros(room, bool).at[inside].set(True))
    expected = every_mean(values[inside], None)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        real = a[tuple(slice(length) for length in b.shape)]
        np.testing.assert_allclose(real, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 2, 5), (2, 3, 3), (1, 4, 2)])
def test_padding_counts_for_no_length(shape) -> None:
    valid = jnp.zeros((2, 6, 7), bool).at[tuple(slice(length) for length in shape)].set(True)
    assert Means(shape).more_rows() == (shape[1] > shape[2])
    assert bool(Means((2, 6, 7), valid).more_rows()) == (shape[1] > shape[2])


@settings(max_examples=5)
@given(shape=seen_shapes)
def test_what_is_computed_slab_by_slab_is_what_is_computed_at_once(shape) -> None:
    full, of_rows, of_columns = (
        jnp.asarray(np.random.default_rng(seed).normal(size=size), jnp.float32)
        for seed, size in enumerate([shape, (*shape[:2], 1), (shape[0], 1, shape[2])])
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensor_views, "SLAB_SIZE", 12)
        patch.setattr(tensor_views, "SMALLEST_SLAB", 2)
        cut = Slabs(shape)
        assert cut.count == 1 or 2 <= np.prod(cut.slab) <= max(12, shape[2])
        parts = cut.cut((full, of_rows[None], of_columns[None]))
        found = cut.join(cut.map(lambda part: part[0] * part[1][0] + part[2][0], parts))
    np.testing.assert_allclose(found, full * of_rows + of_columns, rtol=1e-6)
