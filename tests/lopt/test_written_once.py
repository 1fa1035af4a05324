"""What is computed once stays what it is, and is written where a layout says so."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lopt.own_weights import with_own_weights
from lopt.side_by_side import side_by_side
from lopt.written_once import computed_once, written_once

FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=False)


def shared(x, matrix):
    """Read by every one of four numbers, and once more."""
    part = computed_once(jnp.sin(x) * x)
    return matrix @ part, part


@given(arrays(np.float32, array_shapes(max_dims=3, max_side=4), elements=FLOATS))
def test_every_number_is_as_before_to_the_bit(array):
    # NaN is NaN, whichever.
    bits = np.where(np.isnan(array), np.float32(np.nan), array).view(np.int32)
    written = np.asarray(jax.jit(written_once)(array))
    found = np.where(np.isnan(written), np.float32(np.nan), written).view(np.int32)
    np.testing.assert_array_equal(found, bits)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_the_dtype_stays(dtype):
    assert written_once(jnp.ones((2, 3), dtype)).dtype == dtype


def test_what_holds_nothing_is_written():
    assert written_once(jnp.ones((0, 3))).shape == (0, 3)


def test_xla_keeps_it_apart():
    """It would compute the squares in the loop of the sums, for each of them, otherwise."""

    def sums(x, matrix):
        return (matrix * written_once(x * x)[None]).sum(1), x

    program = jax.jit(sums).lower(jnp.ones(64), jnp.ones((32, 64))).compile().as_text()
    assert "f32[2,64]" in program


@pytest.mark.parametrize("batched", [jax.vmap, side_by_side, with_own_weights])
def test_every_layout_gives_the_same_numbers_and_gradients(batched):
    x = jax.random.normal(jax.random.key(0), (5, 3))
    matrix = jax.random.normal(jax.random.key(1), (4, 3))

    def loss(x, matrix):
        product, part = shared(x, matrix)
        return (product**2).sum() + part.sum()

    def gradients(function):
        return jax.jit(function(jax.value_and_grad(loss, argnums=(0, 1)), (0, None)))(x, matrix)

    expected = jax.tree.map(
        lambda *leaves: jnp.stack(leaves),
        *(jax.value_and_grad(loss, argnums=(0, 1))(one, matrix) for one in x),
    )
    for found, wanted in zip(*map(jax.tree.leaves, (gradients(batched), expected)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("batched", [side_by_side, with_own_weights])
def test_a_layout_writes_it(batched):
    x, matrix = jnp.ones((5, 3)), jnp.ones((4, 3))
    program = str(jax.make_jaxpr(batched(shared, (0, None)))(x, matrix))
    assert "name=computed once" not in program
    assert " reduce[" in program


def test_without_a_layout_nothing_is_written():
    program = str(jax.make_jaxpr(jax.vmap(shared, (0, None)))(jnp.ones((5, 3)), jnp.ones((4, 3))))
    assert " reduce[" not in program
