"""Laws of the optimizer that treats every scalar of the params alone."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lopt.architectures import CoordinatewiseRNN, RandomLearningRate, blocks

PRESETS = [CoordinatewiseRNN.release, CoordinatewiseRNN.andrychowicz]
every_preset = pytest.mark.parametrize("preset", PRESETS, ids=["release", "andrychowicz"])
SMALL = {"hidden_sizes": (4, 3)}


def run(optimizer, gradients, initial=1e-3):
    """The updates of successive gradients, and the last state."""
    transformation = optimizer.transformation(initial)
    update = jax.jit(transformation.update)
    state, found = transformation.init(gradients[0]), []
    for gradient in gradients:
        updates, state = update(gradient, state)
        found.append(updates)
    return found, state


def with_rate_change(optimizer, bias):
    """The same, every learning rate being multiplied by 2 sigmoid(bias) at every step."""
    return eqx.tree_at(lambda o: o.network.rate_change.bias, optimizer, jnp.float32(bias))


@every_preset
def test_the_default_preset_is_named_first_and_every_preset_makes_one(preset, getkey) -> None:
    assert preset.__name__ in CoordinatewiseRNN.presets
    assert CoordinatewiseRNN.presets[0] == "release"
    assert isinstance(preset(key=getkey()), CoordinatewiseRNN)


@every_preset
def test_permuting_scalars_permutes_their_steps(preset, getkey) -> None:
    optimizer = preset(**SMALL, key=getkey())
    gradients = [jax.random.normal(getkey(), (9,)) for _ in range(3)]
    order = jax.random.permutation(getkey(), 9)
    plain, _ = run(optimizer, gradients)
    permuted, _ = run(optimizer, [gradient[order] for gradient in gradients])
    for a, b in zip(plain, permuted, strict=True):
        np.testing.assert_allclose(a[order], b, rtol=1e-4, atol=1e-9)


@every_preset
def test_a_scalar_s_steps_do_not_depend_on_what_else_is_trained(preset, getkey) -> None:
    optimizer = preset(**SMALL, key=getkey())
    gradients = [jax.random.normal(getkey(), (6,)) for _ in range(3)]
    alone, _ = run(optimizer, [{"w": gradient[:2]} for gradient in gradients])
    together, _ = run(
        optimizer, [{"a": 100 * g[4:], "e": g[:0], "w": g[:2], "z": g[2:4]} for g in gradients]
    )
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_allclose(a["w"], b["w"], rtol=1e-4, atol=1e-9)


@every_preset
def test_cutting_a_problem_into_blocks_changes_no_step(preset, getkey, monkeypatch) -> None:
    optimizer = preset(**SMALL, key=getkey())
    shapes = {"matrix": (30, 7), "bias": (7,), "scalar": ()}
    gradients = [
        {name: jax.random.normal(getkey(), shape) for name, shape in shapes.items()}
        for _ in range(3)
    ]
    initial = RandomLearningRate(getkey())
    together, _ = run(optimizer, gradients, initial)
    monkeypatch.setattr(blocks, "BLOCK_WIDTH", 64)
    cut, state = run(optimizer, gradients, initial)
    assert state.scalars.layers[0].hidden.shape == (4 + 1 + 1, 4, 64)
    for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(cut), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-9)


@jax.jit
def release_steps(scale):
    """Of a loss multiplied by `scale`; one program for all scales."""
    optimizer = CoordinatewiseRNN.release(**SMALL, key=jax.random.key(0))
    gradients = scale * (jax.random.normal(jax.random.key(1), (4, 5)) + 3.0)
    transformation = optimizer.transformation(1e-3)

    def step(state, gradient):
        updates, state = transformation.update(gradient, state)
        return state, updates

    return jax.lax.scan(step, transformation.init(gradients[0]), gradients)[1]


@settings(max_examples=20)
@given(scale=st.floats(1e-2, 1e6))
def test_scaling_the_loss_leaves_every_step_of_the_release_unchanged(scale) -> None:
    scaled = release_steps(jnp.float32(scale))
    # The epsilons of 1e-16 and 1e-12 are all that knows the scale.
    np.testing.assert_allclose(scaled, release_steps(jnp.float32(1.0)), rtol=2e-3, atol=1e-9)


def test_steps_are_in_units_of_the_initial_learning_rate(getkey) -> None:
    optimizer = CoordinatewiseRNN.release(**SMALL, key=getkey())
    gradients = [jax.random.normal(getkey(), (5,)) for _ in range(3)]
    small, _ = run(optimizer, gradients, initial=1e-6)
    large, _ = run(optimizer, gradients, initial=1e-2)
    for a, b in zip(small, large, strict=True):
        np.testing.assert_allclose(1e4 * a, b, rtol=1e-4)


def test_learning_rates_begin_where_they_are_drawn(getkey) -> None:
    """As the hierarchical RNN's: PAPER.md section 3.3."""
    optimizer = CoordinatewiseRNN.release(**SMALL, key=getkey())
    initial = RandomLearningRate(getkey(), low=1e-5, high=1e-3)
    state = optimizer.transformation(initial).init(jnp.zeros((4000,)))
    rates = jnp.exp(state.scalars.log_learning_rate)
    assert float(rates.min()) >= 0.999e-5
    assert float(rates.max()) <= 1.001e-3
    assert float(rates.max() / rates.min()) > 9.0


def test_learning_rates_stay_while_the_readout_is_zero(getkey) -> None:
    optimizer = CoordinatewiseRNN.release(**SMALL, key=getkey())
    _, state = run(optimizer, [jnp.ones(2)] * 3, initial=1e-3)
    np.testing.assert_allclose(state.scalars.log_learning_rate, np.log([[1e-3] * 2]), rtol=1e-6)


@pytest.mark.parametrize("bias", [-3.0, 0.7, 2.0])
def test_learning_rates_are_multiplied_by_twice_the_sigmoid(bias, getkey) -> None:
    optimizer = CoordinatewiseRNN.release(**SMALL, key=getkey())
    _, state = run(with_rate_change(optimizer, bias), [jnp.ones(2)] * 3, initial=1e-3)
    expected = 1e-3 * (2 / (1 + np.exp(-bias))) ** 3
    np.testing.assert_allclose(jnp.exp(state.scalars.log_learning_rate), expected, rtol=1e-4)


@pytest.mark.parametrize("initial", [jnp.zeros(()), 1e-46, 1e38])
def test_initial_learning_rates_beyond_what_is_allowed_are_cut_to_it(initial, getkey) -> None:
    """Of 0, which 1e-46 is in float32, there is no logarithm."""
    optimizer = CoordinatewiseRNN.release(**SMALL, key=getkey())
    (updates,), state = run(optimizer, [jnp.ones(2)], initial)
    rates = np.full((1, 2), 33.0 if initial > 1 else -33.0)
    np.testing.assert_allclose(state.scalars.log_learning_rate, rates, rtol=1e-6)
    assert bool(jnp.isfinite(updates).all())


@pytest.mark.parametrize("bias", [-50.0, 50.0])
def test_learning_rates_stay_within_what_float32_holds(bias, getkey) -> None:
    optimizer = CoordinatewiseRNN.release(**SMALL, key=getkey())
    transformation = with_rate_change(optimizer, bias).transformation()

    def step(state, _):
        updates, state = transformation.update(jnp.ones(2), state)
        return state, updates

    state, updates = jax.lax.scan(step, transformation.init(jnp.ones(2)), None, length=100)
    assert bool(jnp.isfinite(updates).all())
    np.testing.assert_allclose(state.scalars.log_learning_rate, np.copysign(33, [[bias] * 2]))


def test_without_learning_rates_the_initial_one_changes_nothing(getkey) -> None:
    optimizer = CoordinatewiseRNN.andrychowicz(**SMALL, key=getkey())
    plain, state = run(optimizer, [jnp.ones(2)])
    other, _ = run(optimizer, [jnp.ones(2)], initial=0.5)
    np.testing.assert_array_equal(plain, other)
    assert state.scalars.log_learning_rate is None
    assert state.scalars.mean_square is None


def test_the_output_scale_scales_every_step(getkey) -> None:
    key = getkey()
    small, _ = run(CoordinatewiseRNN.andrychowicz(**SMALL, key=key), [jnp.ones(2)] * 2)
    large, _ = run(
        CoordinatewiseRNN.andrychowicz(**SMALL, output_scale=10.0, key=key), [jnp.ones(2)] * 2
    )
    np.testing.assert_allclose(100 * np.asarray(small), large, rtol=1e-5)


def test_initial_states_are_meta_params_or_zeros(getkey) -> None:
    learned = CoordinatewiseRNN.release(key=getkey())
    state = learned.transformation().init(jnp.zeros((3,)))
    for layer, first in zip(state.scalars.layers, learned.initial_state, strict=True):
        np.testing.assert_array_equal(layer.memory[0], np.tile(first[0][:, None], 3))
        np.testing.assert_array_equal(layer.hidden[0], np.tile(first[1][:, None], 3))
        assert float(jnp.abs(first).max()) <= 1.0
        assert float(jnp.abs(first).max()) > 0.5
    state = CoordinatewiseRNN.andrychowicz(key=getkey()).transformation().init(jnp.zeros((3,)))
    assert not any(bool(leaf.any()) for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"inputs": "gradient"}, "inputs is 'gradient'.*scaled_gradient, log_and_sign"),
        ({"hidden_sizes": ()}, r"hidden_sizes is \(\)"),
        ({"hidden_sizes": (4, 0)}, r"hidden_sizes is \(4, 0\)"),
        ({"output_scale": 0.0}, "output_scale is 0.0"),
        ({"output_scale": float("inf")}, "output_scale is inf"),
    ],
)
def test_hyper_parameters_that_make_no_optimizer_are_refused(wrong, said) -> None:
    with pytest.raises(ValueError, match=said):
        CoordinatewiseRNN(**wrong, key=jax.random.key(0))
