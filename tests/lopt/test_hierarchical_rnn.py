"""Laws of the hierarchical RNN: PAPER.md section 10."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lopt.architectures import HierarchicalRNN, RandomLearningRate, blocks, eval_params
from lopt.architectures.blocks import Blocks

PRESETS = [HierarchicalRNN.release, HierarchicalRNN.paper]
# Narrower than most tensors here, and wider than all.
WIDTHS = st.sampled_from([16, 2048])
every_preset = pytest.mark.parametrize("preset", PRESETS, ids=["release", "paper"])


def run(optimizer, gradients, initial=1e-3, permute=None, **extra):
    """The updates of successive gradients, stacked."""
    transformation = optimizer.transformation(initial)
    update = jax.jit(transformation.update)
    state = transformation.init(jax.tree.map(jnp.zeros_like, gradients[0]))
    if permute is not None:
        rates = state.scalars.log_learning_rate[:, permute]
        state = state._replace(scalars=state.scalars._replace(log_learning_rate=rates))
    updates = []
    for gradient in gradients:
        one, state = update(gradient, state, **extra)
        updates.append(one)
    return updates, state


@every_preset
@pytest.mark.parametrize("scale", [1e-2, 1e6])
def test_scaling_the_loss_leaves_every_step_unchanged(preset, scale, getkey) -> None:
    optimizer = preset(key=getkey())
    gradients = [jax.random.normal(getkey(), (6, 3)) + 3.0 for _ in range(5)]
    plain, _ = run(optimizer, gradients)
    scaled, _ = run(optimizer, [scale * gradient for gradient in gradients])
    for a, b in zip(plain, scaled, strict=True):
        # The epsilons of 1e-16 and 1e-12 are all that knows the scale.
        np.testing.assert_allclose(a, b, rtol=2e-3)


@every_preset
def test_permuting_scalars_of_a_tensor_permutes_their_steps(preset, getkey) -> None:
    optimizer = preset(key=getkey())
    gradients = [jax.random.normal(getkey(), (12,)) for _ in range(4)]
    order = jax.random.permutation(getkey(), 12)
    initial = RandomLearningRate(getkey())
    plain, _ = run(optimizer, gradients, initial)
    permuted, _ = run(optimizer, [gradient[order] for gradient in gradients], initial, order)
    for a, b in zip(plain, permuted, strict=True):
        np.testing.assert_allclose(a[order], b, rtol=1e-4, atol=1e-12)


@every_preset
def test_cutting_a_problem_into_blocks_changes_no_step(preset, getkey, monkeypatch) -> None:
    optimizer = preset(key=getkey())
    params = {"matrix": jnp.zeros((30, 7)), "bias": jnp.zeros(7), "scalar": jnp.zeros(())}

    def gradient(key):
        return jax.tree.map(lambda leaf: jax.random.normal(key, leaf.shape), params)

    gradients = [gradient(getkey()) for _ in range(3)]
    initial = RandomLearningRate(getkey())
    together, _ = run(optimizer, gradients, initial)
    monkeypatch.setattr(blocks, "BLOCK_WIDTH", 64)
    cut, state = run(optimizer, gradients, initial)
    assert state.scalars.hidden.shape[0] == 4 + 1 + 1
    for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(cut), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-9)


# Each example is compiled, so all widths share the examples.
@settings(max_examples=10)
@given(sizes=st.lists(st.integers(1, 300), min_size=1, max_size=5), width=WIDTHS)
def test_unpacking_undoes_packing(width, sizes) -> None:
    division = Blocks(tuple(sizes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_WIDTH", width)
        tensors = [jnp.arange(size, dtype=jnp.float32) + 1000.0 * i for i, size in enumerate(sizes)]
        packed = division.pack(tensors)
        for a, b in zip(tensors, division.unpack(packed), strict=True):
            np.testing.assert_array_equal(a, b)
        valid = division.extent().valid
        assert valid is None or int(valid.sum()) == sum(sizes)
        assert valid is not None or packed.size == sum(sizes)


@settings(max_examples=8)
@given(sizes=st.lists(st.integers(1, 100), min_size=1, max_size=4), width=WIDTHS)
@pytest.mark.parametrize("padding", [False, True])
def test_means_over_blocks_are_means_over_what_is_valid(padding, width, sizes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_WIDTH", width)
        division = Blocks(tuple(sizes))
        tensors = [jnp.linspace(-1.0, 2.0 + i, size) for i, size in enumerate(sizes)]
        real = [jnp.arange(size) <= size // 2 for size in sizes]
        extent = division.extent(real if padding else None)
        rows = (division.pack(tensors)[:, None], extent.valid)
        sums = division.map(lambda block: division.sum_rows(*block), rows)
        means = division.mean(sums, extent.counts)[0]
        kept = zip(tensors, real, strict=True)
        expected = [float(t[r].mean() if padding else t.mean()) for t, r in kept]
        np.testing.assert_allclose(means, expected, rtol=1e-5, atol=1e-6)


def test_every_tensor_takes_a_step_of_its_learning_rate_s_size(getkey) -> None:
    """The direction's root mean square is one: PAPER.md section 3.1."""
    optimizer = HierarchicalRNN.release(key=getkey())
    gradients = {"a": jax.random.normal(getkey(), (50,)), "b": jax.random.normal(getkey(), (3,))}
    updates, _ = run(optimizer, [gradients], initial=1e-2)
    for leaf in jax.tree.leaves(updates[0]):
        size = float(jnp.sqrt(jnp.mean(jnp.square(leaf))))
        assert size == pytest.approx(1e-2 * np.exp(-1.0), rel=1e-4)


def test_attention_evaluates_where_the_steps_without_it_lead(getkey) -> None:
    """With equal weights both locations differ by the step offset alone: PAPER.md 3.5."""
    optimizer = HierarchicalRNN.paper(learned_initial_state=True, key=getkey())
    transformation = optimizer.transformation(1e-2)
    params = jax.random.normal(getkey(), (7,))
    state = transformation.init(params)
    theta = params
    for _ in range(3):
        before = eval_params(state, params)
        np.testing.assert_allclose(before, theta, rtol=1e-6)
        updates, new_state = transformation.update(jax.random.normal(getkey(), (7,)), state)
        params = params + updates
        theta = eval_params(new_state, params)
        attended_step, step = before - params, before - theta
        # Both are normalised, so they differ in length by the offset of -1 alone.
        ratio = jnp.linalg.norm(step) / jnp.linalg.norm(attended_step)
        assert float(ratio) == pytest.approx(np.exp(-1.0), rel=0.05)
        assert not np.allclose(params, theta)
        state = new_state


def test_the_global_rnn_hears_all_tensors_or_as_released_the_last(getkey) -> None:
    key = getkey()
    gradients = [{"a": jnp.ones(4), "b": -jnp.ones(5)}, {"a": jnp.ones(4), "b": jnp.ones(5)}]

    def global_hidden(global_input, first):
        optimizer = HierarchicalRNN.release(global_input=global_input, key=key)
        changed = [{**gradients[0], "a": first}, gradients[1]]
        return run(optimizer, changed)[1].global_hidden

    other = jnp.array([1.0, -2.0, 3.0, -4.0])
    assert not np.allclose(global_hidden("mean", jnp.ones(4)), global_hidden("mean", other))
    # "b" could hear of "a" by their mean learning rate, which a fresh optimizer leaves alone.
    np.testing.assert_array_equal(
        global_hidden("last_tensor", jnp.ones(4)), global_hidden("last_tensor", other)
    )


@pytest.mark.parametrize("place", ["a", "z"])
def test_a_tensor_that_is_all_padding_changes_nothing_of_the_others(place, getkey) -> None:
    optimizer = HierarchicalRNN.release(key=getkey())
    gradients = [{"k": jax.random.normal(getkey(), (5,)), "w": jnp.ones((2, 3))} for _ in range(3)]
    padding = {place: jnp.zeros((2, 4))}
    valid = {"k": np.ones(5, bool), "w": np.ones((2, 3), bool), place: np.zeros((2, 4), bool)}
    plain, state = run(optimizer, gradients)
    padded, padded_state = run(optimizer, [one | padding for one in gradients], valid=valid)
    for one, other in zip(plain, padded, strict=True):
        for name in one:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(state.global_hidden, padded_state.global_hidden, rtol=1e-4)


@pytest.mark.parametrize("offset", [-200.0, 200.0])
def test_a_step_offset_of_any_value_gives_finite_steps_and_finds_back(offset, getkey) -> None:
    optimizer = HierarchicalRNN.release(key=getkey())
    optimizer = eqx.tree_at(
        lambda o: o.parameter_rnn.learning_rates.step_offset, optimizer, jnp.float32(offset)
    )

    @jax.jit
    @jax.value_and_grad
    def length(optimizer):
        transformation = optimizer.transformation(1e-3)
        updates, _ = transformation.update(jnp.ones(3), transformation.init(jnp.ones(3)))
        return jnp.linalg.norm(updates)

    found, slope = length(optimizer)
    np.testing.assert_allclose(found, np.exp(np.copysign(33.0, offset)) * 3**0.5, rtol=1e-4)
    slope = slope.parameter_rnn.learning_rates.step_offset
    np.testing.assert_allclose(slope, found, rtol=1e-4)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"scale_decays": "both"}, "scale_decays is 'both'.*shared, per_scale"),
        ({"extra_features": ("loss",)}, "extra_features.*gradient_products"),
        ({"hidden_sizes": (1, 2, 3, 4)}, "one to three"),
        ({"scales": 0}, "at least 1"),
        ({"scales": 1}, "neighbouring scales"),
        ({"learned_learning_rate": False}, "learned_learning_rate=True"),
        ({"highest_log_learning_rate": float("nan")}, "highest_log_learning_rate is nan"),
        ({"highest_log_learning_rate": -33.0}, r"is -33\.0, but must be more than -33"),
        ({"highest_log_learning_rate": 33.1}, r"is 33\.1, .* at most 33"),
    ],
)
def test_hyper_parameters_that_make_no_sense_are_refused(argument, message) -> None:
    with pytest.raises(ValueError, match=message):
        HierarchicalRNN(**argument, key=jax.random.key(0))


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (1e-2, 1e-3), (-1.0, 1.0)])
def test_a_range_of_learning_rates_that_is_none_is_refused(low, high) -> None:
    with pytest.raises(ValueError, match="0 < low <= high"):
        RandomLearningRate(jax.random.key(0), low=low, high=high)


def test_initial_learning_rates_are_spread_as_in_the_released_code(getkey) -> None:
    """Triangular between the logarithms of 1e-6 and 1e-2: PAPER.md section 3.3."""
    optimizer = HierarchicalRNN.release(key=getkey())
    init = optimizer.transformation(RandomLearningRate(getkey())).init
    params = {str(i): jnp.zeros(40) for i in range(100)}
    rates = init(params).scalars.log_learning_rate.reshape(100, 40)
    assert float(rates.min()) >= np.log(1e-6) - 1e-4
    assert float(rates.max()) <= np.log(1e-2) + 1e-4
    assert float(rates.mean()) == pytest.approx(np.log(1e-4), abs=0.3)
    assert float(rates.std()) == pytest.approx(1.88, abs=0.15)
    assert float(rates.std(axis=1).mean()) == pytest.approx(1.33, abs=0.1)
