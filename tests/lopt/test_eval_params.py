"""Where the loss is measured is found in any state that holds it: DESIGN.md section 3."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lopt import HierarchicalRNN, eval_params

PARAMS = {"w": jnp.arange(6.0).reshape(2, 3), "b": jnp.ones(2)}
PLAIN = {
    "sgd": optax.sgd(0.1),
    "adam": optax.adam(1e-3),
    "chain": optax.chain(optax.clip(1.0), optax.trace(0.9), optax.scale(-0.1)),
    "release": HierarchicalRNN.release(key=jax.random.key(0)).transformation(),
}


def attentive():
    return HierarchicalRNN.paper(key=jax.random.key(0)).transformation(1e-1)


def wrappers():
    ours = attentive()
    return {
        "bare": (ours, ("w", "b")),
        "chain": (optax.chain(optax.clip(10.0), ours), ("w", "b")),
        "masked": (optax.masked(ours, {"w": True, "b": False}), ("w",)),
        "multi_transform": (
            optax.multi_transform(
                {"ours": ours, "also": attentive(), "theirs": optax.sgd(0.1)},
                {"w": "ours", "b": "also"},
            ),
            ("w", "b"),
        ),
        "MultiSteps": (optax.MultiSteps(ours, 1), ("w", "b")),
        "inject_hyperparams": (
            optax.inject_hyperparams(HierarchicalRNN.paper(key=jax.random.key(0)).transformation)(
                initial_learning_rate=1e-1
            ),
            ("w", "b"),
        ),
    }


@pytest.mark.parametrize("name", PLAIN)
def test_without_attention_the_params_are_returned_as_they_are(name) -> None:
    state = PLAIN[name].init(PARAMS)
    for a, b in zip(
        jax.tree.leaves(eval_params(state, PARAMS)), jax.tree.leaves(PARAMS), strict=True
    ):
        assert a is b


@pytest.mark.parametrize("name", wrappers())
@jax.numpy_dtype_promotion("standard")  # MultiSteps itself divides float by int.
def test_the_offset_is_found_and_added_to_the_params_it_belongs_to(name) -> None:
    transformation, attended = wrappers()[name]
    state, params = transformation.init(PARAMS), PARAMS
    for leaf, start in zip(
        jax.tree.leaves(eval_params(state, params)), jax.tree.leaves(params), strict=True
    ):
        np.testing.assert_array_equal(leaf, start)
    gradient = {"w": jnp.ones((2, 3)), "b": jnp.array([1.0, -2.0])}
    for _ in range(2):
        updates, state = jax.jit(transformation.update)(gradient, state, params)
        params = optax.apply_updates(params, updates)
    evaluated = eval_params(state, params)
    for key in PARAMS:
        assert evaluated[key].dtype == params[key].dtype
        assert np.array_equal(evaluated[key], params[key]) == (key not in attended)


@jax.numpy_dtype_promotion("standard")
def test_wrapping_does_not_change_where_the_loss_is_measured() -> None:
    gradient = {"w": jnp.ones((2, 3)), "b": jnp.array([1.0, -2.0])}

    def evaluated(name):
        transformation, _ = wrappers()[name]
        state = transformation.init(PARAMS)
        updates, state = jax.jit(transformation.update)(gradient, state, PARAMS)
        return eval_params(state, optax.apply_updates(PARAMS, updates))

    bare = evaluated("bare")
    for name in ("chain", "MultiSteps", "inject_hyperparams"):
        for a, b in zip(jax.tree.leaves(bare), jax.tree.leaves(evaluated(name)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5)


def test_low_precision_params_are_evaluated_in_their_own_type() -> None:
    params = jnp.ones(4, jnp.bfloat16)
    transformation = attentive()
    updates, state = transformation.update(jnp.ones(4, jnp.bfloat16), transformation.init(params))
    moved = optax.apply_updates(params, updates)
    assert eval_params(state, moved).dtype == jnp.bfloat16
