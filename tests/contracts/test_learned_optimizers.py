"""What every learned optimizer keeps, for every class found and every example it carries."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lopt.architectures
from lopt import release
from lopt.architectures import LearnedOptimizer, RandomLearningRate, eval_params
from lopt.catalogue import concrete_classes
from lopt.state_size import state_bytes_per_param

CLASSES = concrete_classes(lopt.architectures, LearnedOptimizer)
EXAMPLES = [
    pytest.param(example, id=f"{name}-{index}")
    for name, cls in CLASSES.items()
    for index, example in enumerate(cls.examples())
]
every_optimizer = pytest.mark.parametrize("optimizer", EXAMPLES)

PARAMS: dict[str, Any] = {
    "nested": [{"matrix": jnp.ones((3, 4)), "half": jnp.ones((5,), jnp.float16)}],
    "brain": (jnp.ones((2, 2), jnp.bfloat16), None),
    "scalar": jnp.asarray(1.0),
    "empty": jnp.zeros((0, 3)),
}


def gradient_like(params: Any, key: Any) -> Any:
    return optax.tree.random_like(key, params, jax.random.normal)


def take_steps(transformation: Any, params: Any, key: Any, steps: int = 2) -> tuple[Any, Any]:
    state = transformation.init(params)
    update = jax.jit(transformation.update)
    for step_key in jax.random.split(key, steps):
        updates, state = update(gradient_like(params, step_key), state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def all_finite(tree: Any) -> bool:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return all(bool(jnp.isfinite(leaf.astype(jnp.float32)).all()) for leaf in leaves)


def signature(tree: Any) -> Any:
    """Structure, shapes, dtypes and weak types."""
    return jax.tree.map(lambda leaf: str(jax.typeof(leaf)), tree)


def test_architectures_are_found_and_bring_examples() -> None:
    assert "HierarchicalRNN" in CLASSES
    assert all(cls.examples() for cls in CLASSES.values())


@every_optimizer
def test_updates_have_the_params_structure_shapes_and_dtypes(optimizer, getkey) -> None:
    transformation = optimizer.transformation()
    gradient = gradient_like(PARAMS, getkey())
    updates, _ = jax.jit(transformation.update)(gradient, transformation.init(PARAMS), PARAMS)
    assert signature(updates) == signature(gradient)
    assert all_finite(updates)


@every_optimizer
def test_a_training_step_compiles_once(optimizer, getkey) -> None:
    transformation = optimizer.transformation()
    state = transformation.init(PARAMS)
    update = jax.jit(transformation.update)
    for _ in range(3):
        _, new_state = update(gradient_like(PARAMS, getkey()), state, PARAMS)
        assert signature(new_state) == signature(state)
        state = new_state
    assert update._cache_size() == 1


@every_optimizer
@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf, 3e38])
def test_a_bad_gradient_gives_a_finite_update_and_a_usable_state(optimizer, bad, getkey) -> None:
    transformation = optimizer.transformation()
    params = {"a": jnp.ones((3, 4)), "b": jnp.ones(2)}
    update = jax.jit(transformation.update)
    state = transformation.init(params)
    spoiled = {"a": jnp.ones((3, 4)).at[1].set(bad), "b": jnp.full((2,), bad)}
    for gradient in (gradient_like(params, getkey()), spoiled, gradient_like(params, getkey())):
        updates, state = update(gradient, state, params)
        assert all_finite(updates)
        assert all_finite(state)
    assert any(bool(leaf.any()) for leaf in jax.tree.leaves(updates))


@every_optimizer
def test_extra_arguments_are_taken_and_params_needed_only_where_it_says_so(
    optimizer, getkey
) -> None:
    transformation = optimizer.transformation()
    params = jnp.ones(3)
    gradient, state = gradient_like(params, getkey()), transformation.init(params)
    update = jax.jit(transformation.update)
    with_extra, _ = update(gradient, state, params, value=jnp.asarray(1.0), anything=jnp.ones(2))
    if optimizer.needs_params:
        with pytest.raises(ValueError, match="params"):
            transformation.update(gradient, state)
        without, _ = update(gradient, state, params)
    else:
        without, _ = update(gradient, state)
    np.testing.assert_array_equal(with_extra, without)


@every_optimizer
def test_vmap_over_runs_equals_one_by_one(optimizer, getkey) -> None:
    transformation = optimizer.transformation()
    params = {"w": jax.random.normal(getkey(), (3, 4, 2)), "b": jnp.ones((3, 2))}
    gradient = gradient_like(params, getkey())
    states = jax.vmap(transformation.init)(params)
    together, _ = jax.jit(jax.vmap(transformation.update))(gradient, states, params)
    for run in range(3):
        one = jax.tree.map(lambda leaf, run=run: leaf[run], (gradient, states, params))
        alone, _ = jax.jit(transformation.update)(*one)
        for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
            np.testing.assert_allclose(a, b[run], rtol=2e-5, atol=1e-9)


@every_optimizer
def test_scan_equals_a_loop(optimizer, getkey) -> None:
    transformation = optimizer.transformation()
    params = {"w": jnp.ones((4, 3)), "b": jnp.ones(3)}
    gradients = jax.vmap(lambda key: gradient_like(params, key))(jax.random.split(getkey(), 4))

    def step(carry, gradient):
        params, state = carry
        updates, state = transformation.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    start = (params, transformation.init(params))
    (scanned, _), _ = jax.lax.scan(step, start, gradients)
    carry, one_step = start, jax.jit(step)
    for index in range(4):
        carry, _ = one_step(carry, jax.tree.map(lambda leaf, i=index: leaf[i], gradients))
    for a, b in zip(jax.tree.leaves(scanned), jax.tree.leaves(carry[0]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@every_optimizer
def test_buffers_of_params_and_state_can_be_donated(optimizer, getkey) -> None:
    transformation = optimizer.transformation()
    params = {"w": jnp.ones((4, 3)), "b": jnp.ones(3)}

    def step(params, state, gradient):
        updates, state = transformation.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    donating = jax.jit(step, donate_argnums=(0, 1))
    state = transformation.init(params)
    meta_params = jax.tree.map(jnp.copy, eqx.filter(optimizer, eqx.is_array))
    for _ in range(3):
        params, state = donating(params, state, gradient_like(params, getkey()))
    assert all_finite(params)
    for a, b in zip(
        jax.tree.leaves(meta_params),
        jax.tree.leaves(eqx.filter(optimizer, eqx.is_array)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def wrap(name: str, optimizer: LearnedOptimizer) -> Any:
    plain = optimizer.transformation()
    return {
        "bare": plain,
        "chain": optax.chain(optax.clip(1.0), plain),
        "masked": optax.masked(plain, {"w": True, "b": False}),
        "multi_transform": optax.multi_transform(
            {"ours": plain, "theirs": optax.sgd(1e-2)}, {"w": "ours", "b": "theirs"}
        ),
        "MultiSteps": optax.MultiSteps(plain, every_k_schedule=2),
        "inject_hyperparams": optax.inject_hyperparams(optimizer.transformation)(
            initial_learning_rate=1e-3
        ),
        "apply_if_finite": optax.apply_if_finite(plain, max_consecutive_errors=3),
    }[name]


WRAPPERS = (
    "bare",
    "chain",
    "masked",
    "multi_transform",
    "MultiSteps",
    "inject_hyperparams",
    "apply_if_finite",
)


@every_optimizer
@pytest.mark.parametrize("wrapper", WRAPPERS)
@jax.numpy_dtype_promotion("standard")  # MultiSteps itself divides float by int.
def test_optax_wrappers_take_it(optimizer, wrapper, getkey) -> None:
    transformation = wrap(wrapper, optimizer)
    params = {"w": jnp.ones((4, 3)), "b": jnp.ones(3)}
    state = transformation.init(params)
    update = jax.jit(transformation.update)
    start = params
    for _ in range(4):
        updates, new_state = update(gradient_like(params, getkey()), state, params)
        assert signature(new_state) == signature(state)
        state, params = new_state, optax.apply_updates(params, updates)
    assert all_finite(params)
    assert not np.array_equal(params["w"], start["w"])
    evaluated = eval_params(state, params)
    assert signature(evaluated) == signature(params)


@every_optimizer
def test_the_first_meta_gradient_is_finite_and_not_zero(optimizer, getkey) -> None:
    """The decays begin at 0, whose square roots have no finite derivative: PAPER.md 3.7."""
    meta_params, static = eqx.partition(optimizer, eqx.is_inexact_array)
    gradient = {"w": jax.random.normal(getkey(), (4, 3)), "b": jnp.ones(3)}

    def meta_loss(meta_params):
        transformation = eqx.combine(meta_params, static).transformation(RandomLearningRate(key))
        updates, state = transformation.update(gradient, transformation.init(gradient), gradient)
        moved = eval_params(state, optax.apply_updates(gradient, updates))
        return sum(jnp.square(leaf).sum() for leaf in jax.tree.leaves(moved))

    key = getkey()
    meta_gradient = jax.jit(jax.grad(meta_loss))(meta_params)
    assert all_finite(meta_gradient)
    assert any(bool(leaf.any()) for leaf in jax.tree.leaves(meta_gradient))


@every_optimizer
def test_an_optimizer_is_rebuilt_from_its_hyper_parameters(optimizer) -> None:
    again = type(optimizer)(**optimizer.hyper_parameters(), key=jax.random.key(1))
    assert signature(again) == signature(optimizer)
    assert jax.tree.structure(again) == jax.tree.structure(optimizer)


@every_optimizer
def test_a_release_gives_an_optimizer_back_bit_for_bit(optimizer, tmp_path) -> None:
    loaded = release.load(release.save(optimizer, tmp_path / "release"))
    assert type(loaded) is type(optimizer)
    assert signature(loaded) == signature(optimizer)
    assert eqx.tree_equal(loaded, optimizer)


@every_optimizer
def test_initial_learning_rates_are_drawn_by_the_key(optimizer, getkey) -> None:
    params, key = {"w": jnp.ones((4, 3))}, getkey()

    def init(key):
        return optimizer.transformation(RandomLearningRate(key)).init(params)

    first, again, other = init(key), init(key), init(getkey())
    same = jax.tree.map(np.array_equal, first, again)
    assert all(jax.tree.leaves(same))
    assert signature(other) == signature(first)


@every_optimizer
def test_padding_takes_no_part_in_what_is_done_to_the_others(optimizer, getkey) -> None:
    transformation = optimizer.transformation(1e-3)
    params = {"w": jax.random.normal(getkey(), (3, 4)), "b": jnp.ones(2)}
    room = {"w": (4, 6), "b": (5,)}

    def padded(tree, fill):
        def pad(leaf, shape):
            widths = [(0, most - size) for most, size in zip(shape, leaf.shape, strict=True)]
            return jnp.pad(leaf, widths, constant_values=fill)

        return {name: pad(leaf, room[name]) for name, leaf in tree.items()}

    with_padding = padded(params, 0.0)
    valid = padded(jax.tree.map(lambda leaf: jnp.ones_like(leaf, bool), params), False)
    state, padded_state = transformation.init(params), transformation.init(with_padding)
    update = jax.jit(transformation.update)
    for _ in range(3):
        gradient = gradient_like(params, getkey())
        # What stands in the padding is nobody's business.
        shown = padded(gradient, 3.0)
        updates, state = update(gradient, state, params)
        padded_updates, padded_state = update(shown, padded_state, with_padding, valid=valid)
        for name, leaf in updates.items():
            found = padded_updates[name][tuple(slice(size) for size in leaf.shape)]
            np.testing.assert_allclose(found, leaf, rtol=1e-4, atol=1e-7)
        params = optax.apply_updates(params, updates)
        with_padding = optax.apply_updates(with_padding, padded_updates)


@every_optimizer
def test_params_that_are_not_floating_point_are_refused_by_name(optimizer) -> None:
    with pytest.raises(TypeError, match=r"\['steps'\].*int32"):
        optimizer.transformation().init({"w": jnp.ones(3), "steps": jnp.zeros((), jnp.int32)})


@every_optimizer
def test_numbers_and_numpy_arrays_are_taken_as_arrays_are(optimizer) -> None:
    transformation = optimizer.transformation()
    params = {"number": -1.0, "numpy": np.ones(3, np.float32), "scalar": np.float32(2.0)}
    arrays = jax.tree.map(jnp.asarray, params)

    def step(params):
        updates, state = transformation.update(params, transformation.init(params), params)
        return updates, state, eval_params(state, params)

    for a, b in zip(jax.tree.leaves(step(params)), jax.tree.leaves(step(arrays)), strict=True):
        assert jnp.asarray(a).dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@every_optimizer
def test_params_without_any_elements_are_left_alone(optimizer) -> None:
    transformation = optimizer.transformation()
    params = {"empty": jnp.zeros((0, 3)), "none": None}
    updates, state = transformation.update(params, transformation.init(params), params)
    assert signature(updates) == signature(params)
    assert signature(eval_params(state, params)) == signature(params)


@every_optimizer
def test_it_can_be_told_how_much_is_kept_for_every_scalar(optimizer) -> None:
    assert 0 <= state_bytes_per_param(optimizer, (8, 16)) < float("inf")
