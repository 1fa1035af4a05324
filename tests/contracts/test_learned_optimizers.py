"""What every learned optimizer keeps, for every class found and every example it carries.

Nearly all of the time goes into compiling, so tests share `compiled` updates where they can.
"""

from collections.abc import Callable
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
every_class = pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)

PARAMS: dict[str, Any] = {
    "nested": [{"matrix": jnp.ones((3, 4)), "half": jnp.ones((5,), jnp.float16)}],
    "brain": (jnp.ones((2, 2), jnp.bfloat16), None),
    "scalar": jnp.asarray(1.0),
    "empty": jnp.zeros((0, 3)),
}


SMALL: dict[str, Any] = {"w": jnp.ones((4, 3)), "b": jnp.ones(3)}
INITIAL = 1e-3


@pytest.fixture(scope="module")
def compiled() -> Callable[[LearnedOptimizer], Any]:
    """The update of an optimizer, compiled once for all tests that step in `SMALL`."""
    made: dict[int, Any] = {}

    def update(optimizer: LearnedOptimizer) -> Any:
        if id(optimizer) not in made:
            made[id(optimizer)] = jax.jit(optimizer.transformation(INITIAL).update)
        return made[id(optimizer)]

    return update


def gradient_like(params: Any, key: Any) -> Any:
    return optax.tree.random_like(key, params, jax.random.normal)


def all_finite(tree: Any) -> bool:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return all(bool(jnp.isfinite(leaf.astype(jnp.float32)).all()) for leaf in leaves)


def signature(tree: Any) -> Any:
    """Structure, shapes, dtypes and weak types."""
    return jax.tree.map(lambda leaf: str(jax.typeof(leaf)), tree)


def assert_close(found: Any, expected: Any) -> None:
    """Relative to the largest of a leaf, since sums of both signs cancel."""
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        atol = 1e-6 * float(jnp.abs(b).max(initial=0.0))
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=atol)


def test_architectures_are_found_and_bring_examples() -> None:
    assert "HierarchicalRNN" in CLASSES
    assert all(cls.examples() for cls in CLASSES.values())


@every_class
def test_the_first_examples_are_the_presets(cls) -> None:
    examples = cls.examples()[: len(cls.presets)]
    for preset, example in zip(cls.presets, examples, strict=True):
        made = getattr(cls, preset)(key=jax.random.key(0))
        assert made.hyper_parameters() == example.hyper_parameters()
        assert signature(made) == signature(example)


@every_optimizer
def test_a_training_step_compiles_once_and_gives_updates_like_the_params(optimizer, getkey) -> None:
    """In structure, shapes and dtypes, as the next state is like the last."""
    transformation = optimizer.transformation()
    state = transformation.init(PARAMS)
    update = jax.jit(transformation.update)
    for _ in range(3):
        gradient = gradient_like(PARAMS, getkey())
        updates, new_state = update(gradient, state, PARAMS)
        assert signature(updates) == signature(gradient)
        assert signature(new_state) == signature(state)
        assert all_finite(updates)
        state = new_state
    assert update._cache_size() == 1


@every_optimizer
def test_a_bad_gradient_gives_a_finite_update_and_a_usable_state(
    optimizer, compiled, getkey
) -> None:
    update = compiled(optimizer)
    for bad in (jnp.nan, jnp.inf, -jnp.inf, 3e38):
        state = optimizer.transformation(INITIAL).init(SMALL)
        spoiled = {"w": jnp.ones((4, 3)).at[1].set(bad), "b": jnp.full((3,), bad)}
        for gradient in (gradient_like(SMALL, getkey()), spoiled, gradient_like(SMALL, getkey())):
            updates, state = update(gradient, state, SMALL)
            assert all_finite(updates), bad
            assert all_finite(state), bad
        assert any(bool(leaf.any()) for leaf in jax.tree.leaves(updates)), bad


@every_optimizer
def test_extra_arguments_are_taken_and_params_needed_only_where_it_says_so(
    optimizer, getkey
) -> None:
    transformation = optimizer.transformation()
    params = jnp.ones(3)
    gradient, state = gradient_like(params, getkey()), transformation.init(params)
    given = (params,) if optimizer.needs_params else ()
    if optimizer.needs_params:
        with pytest.raises(ValueError, match="params"):
            transformation.update(gradient, state)

    @jax.jit
    def both(gradient, state):
        extra = {"value": jnp.asarray(1.0), "anything": jnp.ones(2)}
        with_extra, _ = transformation.update(gradient, state, params, **extra)
        without, _ = transformation.update(gradient, state, *given)
        return with_extra, without

    with_extra, without = both(gradient, state)
    np.testing.assert_array_equal(with_extra, without)


@every_optimizer
def test_vmap_over_runs_equals_one_by_one(optimizer, compiled, getkey) -> None:
    transformation = optimizer.transformation(INITIAL)
    params = {"w": jax.random.normal(getkey(), (3, 4, 3)), "b": jnp.ones((3, 3))}
    gradient = gradient_like(params, getkey())
    states = jax.vmap(transformation.init)(params)
    together, _ = jax.jit(jax.vmap(transformation.update))(gradient, states, params)
    for run in range(3):
        one = jax.tree.map(lambda leaf, run=run: leaf[run], (gradient, states, params))
        alone, _ = compiled(optimizer)(*one)
        assert_close(jax.tree.map(lambda leaf, run=run: leaf[run], together), alone)


@every_optimizer
def test_scan_equals_a_loop(optimizer, compiled, getkey) -> None:
    transformation = optimizer.transformation(INITIAL)
    gradients = jax.vmap(lambda key: gradient_like(SMALL, key))(jax.random.split(getkey(), 4))

    def step(carry, gradient):
        params, state = carry
        updates, state = transformation.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), updates

    params, state = SMALL, transformation.init(SMALL)
    _, scanned = jax.lax.scan(step, (params, state), gradients)
    for index in range(4):
        gradient = jax.tree.map(lambda leaf, i=index: leaf[i], gradients)
        updates, state = compiled(optimizer)(gradient, state, params)
        params = optax.apply_updates(params, updates)
        assert_close(jax.tree.map(lambda leaf, i=index: leaf[i], scanned), updates)


@every_optimizer
def test_buffers_of_params_and_state_can_be_donated(optimizer, getkey) -> None:
    transformation = optimizer.transformation()
    # Copies, since they are given away.
    params = jax.tree.map(jnp.copy, SMALL)

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
    plain = optimizer.transformation(INITIAL)
    return {
        "bare": plain,
        "chain": optax.chain(optax.clip(1.0), plain),
        "masked": optax.masked(plain, {"w": True, "b": False}),
        "multi_transform": optax.multi_transform(
            {"ours": plain, "theirs": optax.sgd(1e-2)}, {"w": "ours", "b": "theirs"}
        ),
        "MultiSteps": optax.MultiSteps(plain, every_k_schedule=2),
        "inject_hyperparams": optax.inject_hyperparams(optimizer.transformation)(
            initial_learning_rate=INITIAL
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
WRAPPED = [
    pytest.param(wrapper, example, id=f"{wrapper}-{name}-{index}")
    for name, cls in CLASSES.items()
    for index, example in enumerate(cls.examples())
    # Whoever uses an ablation meets a preset's wrappers: these two are what differs with it.
    for wrapper in (WRAPPERS if index < len(cls.presets) else ("bare", "MultiSteps"))
]


@pytest.mark.parametrize(("wrapper", "optimizer"), WRAPPED)
@jax.numpy_dtype_promotion("standard")  # MultiSteps itself divides float by int.
def test_optax_wrappers_take_it_with_and_without_padding(
    wrapper, optimizer, compiled, getkey
) -> None:
    """Some take leaves from gradient and params, but hand `valid` on as it is."""
    transformation = wrap(wrapper, optimizer)
    valid = {"w": jnp.ones((4, 3), bool).at[2:].set(False), "b": jnp.ones(3, bool)}
    extra = {} if wrapper == "bare" else {"valid": valid}
    params = start = SMALL
    state = transformation.init(params)
    update = compiled(optimizer) if wrapper == "bare" else jax.jit(transformation.update)
    for _ in range(4):
        gradient = gradient_like(params, getkey())
        updates, new_state = update(gradient, state, params, **extra)
        assert signature(new_state) == signature(state)
        state, params = new_state, optax.apply_updates(params, updates)
    assert all_finite(params)
    assert (params["w"] != start["w"])[:2].any()
    evaluated = eval_params(state, params)
    assert signature(evaluated) == signature(params)
    without = jax.eval_shape(transformation.update, gradient, state, params)
    assert signature(without) == signature((updates, state))


@every_optimizer
def test_meta_gradients_are_finite_and_not_zero(optimizer, getkey) -> None:
    """Where gradients are zero or none, too: at 0 a square root has no finite derivative."""
    meta_params, static = eqx.partition(optimizer, eqx.is_inexact_array)
    gradients = jax.vmap(lambda key: gradient_like(SMALL, key))(jax.random.split(getkey(), 3))
    gradients["w"] = gradients["w"].at[0, 0].set(0.0).at[1].set(0.0).at[2, 1].set(jnp.nan)
    gradients["b"] = gradients["b"].at[:2].set(0.0)

    def meta_loss(meta_params):
        transformation = eqx.combine(meta_params, static).transformation(INITIAL)

        def step(carry, gradient):
            params, state = carry
            updates, state = transformation.update(gradient, state, params)
            return (optax.apply_updates(params, updates), state), None

        (params, state), _ = jax.lax.scan(step, (SMALL, transformation.init(SMALL)), gradients)
        moved = eval_params(state, params)
        return sum(jnp.square(leaf).sum() for leaf in jax.tree.leaves(moved))

    meta_gradient = jax.jit(jax.grad(meta_loss))(meta_params)
    leaves = jax.tree.leaves_with_path(meta_gradient)
    unsound = [jax.tree_util.keystr(path) for path, leaf in leaves if not all_finite(leaf)]
    assert not unsound, "which is differentiated: does a root or a quotient meet 0?"
    assert any(bool(leaf.any()) for leaf in jax.tree.leaves(meta_gradient))


@every_class
def test_steps_are_finite_wherever_meta_training_has_driven_the_meta_params(cls, getkey) -> None:
    optimizer = cls.examples()[0]
    gradient = gradient_like(SMALL, getkey())
    gradient["b"] = jnp.zeros(3)

    @jax.jit
    def two_steps(optimizer):
        transformation = optimizer.transformation(INITIAL)
        first, state = transformation.update(gradient, transformation.init(SMALL), SMALL)
        return first, *transformation.update(gradient, state, SMALL)

    for far in (-100.0, -20.0, 20.0, 100.0):
        driven = jax.tree.map(
            lambda leaf, far=far: jnp.full_like(leaf, far) if eqx.is_inexact_array(leaf) else leaf,
            optimizer,
        )
        assert all_finite(two_steps(driven)), f"all meta-params at {far}"


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

    def init(initial):
        return optimizer.transformation(initial).init(params)

    def same(one, other):
        return all(jax.tree.leaves(jax.tree.map(np.array_equal, one, other)))

    first, other = init(RandomLearningRate(key)), init(RandomLearningRate(getkey()))
    assert same(first, init(RandomLearningRate(key)))
    assert signature(other) == signature(first)
    keeps_learning_rates = not same(init(1e-3), init(1e-2))
    assert not keeps_learning_rates or not same(first, other)


@every_class
@pytest.mark.parametrize("rate", [0, -1e-3, float("nan"), float("inf")])
def test_an_initial_learning_rate_that_is_none_is_refused_before_any_work(cls, rate) -> None:
    with pytest.raises(ValueError, match=f"positive and finite, but is {rate}"):
        cls.examples()[0].transformation(rate)


@every_optimizer
def test_padding_takes_no_part_in_what_is_done_to_the_others(optimizer, compiled, getkey) -> None:
    transformation = optimizer.transformation(INITIAL)
    params = {"w": jax.random.normal(getkey(), (4, 3)), "b": jnp.ones(3)}
    # The longer axis of what is real is the shorter one of the room.
    room = {"w": (5, 6), "b": (6,)}

    def padded(tree, fill):
        def pad(leaf, shape):
            widths = [(0, most - size) for most, size in zip(shape, leaf.shape, strict=True)]
            return jnp.pad(leaf, widths, constant_values=fill)

        return {name: pad(leaf, room[name]) for name, leaf in tree.items()}

    with_padding = padded(params, 0.0)
    valid = padded(jax.tree.map(lambda leaf: jnp.ones_like(leaf, bool), params), False)
    state, padded_state = transformation.init(params), transformation.init(with_padding)
    update_padded = jax.jit(transformation.update)
    for _ in range(3):
        gradient = gradient_like(params, getkey())
        # What stands in the padding is nobody's business.
        shown = padded(gradient, 3.0)
        updates, state = compiled(optimizer)(gradient, state, params)
        padded_updates, padded_state = update_padded(shown, padded_state, with_padding, valid=valid)
        for name, leaf in updates.items():
            found = padded_updates[name][tuple(slice(size) for size in leaf.shape)]
            np.testing.assert_allclose(found, leaf, rtol=1e-4, atol=1e-7)
        params = optax.apply_updates(params, updates)
        with_padding = optax.apply_updates(with_padding, padded_updates)


@every_optimizer
def test_params_that_are_not_floating_point_are_refused_by_name(optimizer) -> None:
    with pytest.raises(TypeError, match=r"\['steps'\].*int32"):
        optimizer.transformation().init({"w": jnp.ones(3), "steps": jnp.zeros((), jnp.int32)})


NUMBERS = {"number": -1.0, "numpy": np.ones(3, np.float32), "scalar": np.float32(2.0)}


def step_of(optimizer: LearnedOptimizer, params: Any) -> Any:
    """All that a step gives, of a gradient that is the params."""
    transformation = optimizer.transformation()
    updates, state = transformation.update(params, transformation.init(params), params)
    return updates, state, eval_params(state, params)


@every_optimizer
def test_numbers_and_numpy_arrays_are_taken_as_arrays_are(optimizer) -> None:
    arrays = jax.tree.map(jnp.asarray, NUMBERS)
    # Not as an argument, which would be an array.
    found = jax.eval_shape(lambda: step_of(optimizer, NUMBERS))
    expected = jax.eval_shape(lambda: step_of(optimizer, arrays))
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)


@every_class
def test_numbers_and_numpy_arrays_are_computed_with_as_arrays_are(cls) -> None:
    """In one example, since nothing is compiled here and so everything is, one by one."""
    optimizer = min(cls.examples(), key=state_bytes_per_param)
    arrays = jax.tree.map(jnp.asarray, NUMBERS)
    found, expected = step_of(optimizer, NUMBERS), step_of(optimizer, arrays)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)


@every_optimizer
def test_params_without_any_elements_are_left_alone(optimizer) -> None:
    params = {"empty": jnp.zeros((0, 3)), "none": None}
    updates, _, evaluated = jax.eval_shape(lambda: step_of(optimizer, params))
    assert signature(updates) == signature(params)
    assert signature(evaluated) == signature(params)


@every_optimizer
def test_it_can_be_told_how_much_is_kept_for_every_scalar(optimizer) -> None:
    state = optimizer.transformation().init(jnp.zeros((8, 16)))
    taken = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    assert state_bytes_per_param(optimizer, (8, 16)) == taken / (8 * 16)
