"""What leaves of any kind become on the way from a gradient to an update."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lopt.architectures.elementwise import (
    check_params,
    clean_gradient,
    flat_tensors,
    updates_like,
    updates_of_tensors,
    valid_like,
)

LEAVES = {
    "number": 2.0,
    "numpy": np.ones((2, 3), np.float32),
    "half": jnp.ones((3,), jnp.float16),
    "brain": jnp.ones((), jnp.bfloat16),
    "empty": jnp.zeros((0, 2)),
    "nothing": None,
}


def test_a_gradient_of_any_dtype_is_computed_with_in_float32() -> None:
    cleaned = clean_gradient(LEAVES)
    assert cleaned["nothing"] is None
    dtypes = {leaf.dtype.name for leaf in cleaned.values() if leaf is not None}
    assert dtypes == {"float32"}


def test_updates_are_minus_the_steps_in_the_gradient_s_dtypes_and_shapes() -> None:
    steps = jax.tree.map(lambda leaf: -leaf.reshape(-1), clean_gradient(LEAVES))
    updates = updates_like(LEAVES, steps)
    assert updates["nothing"] is None
    for name, leaf in LEAVES.items():
        if leaf is not None:
            assert updates[name].dtype == jnp.asarray(leaf).dtype
            np.testing.assert_array_equal(updates[name], jnp.asarray(leaf))


def test_a_step_out_of_the_dtype_s_range_is_cut_to_it() -> None:
    gradient = {"half": jnp.ones((2,), jnp.float16)}
    updates = updates_like(gradient, {"half": jnp.array([1e9, -1e9])})
    np.testing.assert_array_equal(updates["half"], np.array([-65504, 65504], np.float16))


def test_entries_that_are_no_numbers_count_as_zero() -> None:
    cleaned = clean_gradient({"bad": jnp.array([jnp.nan, jnp.inf, -jnp.inf, 1.5])})
    np.testing.assert_array_equal(cleaned["bad"], [0, 0, 0, 1.5])


def test_entries_beyond_1e15_are_cut() -> None:
    found = clean_gradient(jnp.array([1e20, -3e38, 9e14]))
    np.testing.assert_array_equal(found, np.array([1e15, -1e15, 9e14], np.float32))


def test_whole_numbers_are_no_params() -> None:
    check_params(LEAVES)
    with pytest.raises(TypeError, match=r"\['layer'\]\[1\].*int32"):
        check_params({"layer": [jnp.ones(2), jnp.ones(2, jnp.int32)]})


def test_of_valid_only_what_the_gradient_has_is_taken() -> None:
    """As masks leave it, also in the place of whole subtrees, and as `None` does."""
    gradient = {"a": jnp.ones(2), "b": optax.MaskedNode(), "c": optax.MaskedNode(), "d": None}
    valid = {
        "a": np.array([True, False]),
        "b": jnp.ones(3, bool),
        "c": {"deep": [jnp.ones(3, bool)]},
        "d": None,
    }
    (leaf,) = jax.tree.leaves(valid_like(gradient, valid))
    np.testing.assert_array_equal(leaf, [True, False])
    found = valid_like(gradient, valid)
    assert jax.tree.structure(found) == jax.tree.structure(gradient)
    assert valid_like(gradient, None) is None
    trimmed = valid_like(gradient, found)
    assert jax.tree.structure(trimmed) == jax.tree.structure(gradient)


@pytest.mark.parametrize("shape", [(3, 2), (6,), ()])
def test_valid_of_another_shape_than_the_gradient_is_refused_by_the_leaf_s_name(shape) -> None:
    gradient = {"b": jnp.ones(2), "w": jnp.ones((2, 3))}
    valid = {"b": np.ones(2, bool), "w": np.ones(shape, bool)}
    with pytest.raises(ValueError, match=rf"{re.escape(str(shape))} at .*\['w'\].*\(2, 3\), but"):
        valid_like(gradient, valid)


def test_updates_of_the_tensors_with_elements_are_those_of_all_leaves() -> None:
    gradient = clean_gradient(LEAVES)
    steps = [0.5 * tensor for tensor in flat_tensors(gradient)]
    found = updates_of_tensors(LEAVES, steps)
    expected = updates_like(LEAVES, jax.tree.map(lambda leaf: 0.5 * leaf, gradient))
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
