"""Numbers computed from the paper's formulas by hand: PAPER.md sections 1.5, 1.6, 2.1 and 3.8."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.architectures import HierarchicalRNN
from lopt.architectures import features as feature_module
from lopt.architectures import parameter_rnn as parameter_rnn_module
from lopt.architectures.features import timescales

# Steps 1 to 3: gradient, the 12 inputs of scalar 0, the updates (with optax's sign).
STEPS = [
    (
        (1.0, -2.0),
        [*[0.8813736] * 4, *[0.7768194] * 3, *[0.0] * 4, -1.1512925],
        (3.679e-4, -3.6788e-3),
    ),
    (
        (0.5, -1.0),
        [
            0.8469782,
            0.8638520,
            0.8725312,
            0.8769319,
            0.7316639,
            0.7537379,
            0.7651505,
            -0.0019875,
            -0.0001518,
            0.0008197,
            0.0013196,
            -1.1512925,
        ],
        (3.679e-4, -3.6788e-3),
    ),
    (
        (-1.0, 3.0),
        [
            0.7038735,
            0.7926326,
            0.8370409,
            0.8592209,
            0.5579131,
            0.6634659,
            0.7192031,
            -0.0104746,
            -0.0010546,
            0.0043277,
            0.0072014,
            -1.1512925,
        ],
        (3.721e-4, -3.6364e-3),
    ),
]
ROW_1_AT_STEP_3 = [
    -0.6641786,
    -0.7737378,
    -0.8278503,
    -0.8546917,
    0.5139001,
    0.6405391,
    0.7075568,
    -0.0118659,
    -0.0012737,
    0.0049054,
    0.0082342,
    1.1512925,
]


def degenerate(optimizer: HierarchicalRNN) -> HierarchicalRNN:
    """Set every weight to zero but for the scalar biases and the shortcut, which is 1/4."""

    def silence(path: tuple[object, ...], leaf: jax.Array) -> jax.Array:
        name = jax.tree_util.keystr(path)
        if name.endswith("direction.shortcut"):
            return jnp.full_like(leaf, 0.25)
        kept = ("gates.bias", "decay.bias", "momentum_logit", "step_offset")
        return leaf if name.endswith(kept) else jnp.zeros_like(leaf)

    return jax.tree.map_with_path(silence, optimizer)


@pytest.fixture
def inputs_seen(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The inputs that the parameter RNN was called with, step by step."""
    seen: list[np.ndarray] = []
    original = parameter_rnn_module.BiasGRU.__call__

    def recording(self, x, h, bias=None):
        if x.shape[0] == 12:
            seen.append(np.asarray(x))
        return original(self, x, h, bias)

    monkeypatch.setattr(parameter_rnn_module.BiasGRU, "__call__", recording)
    return seen


def test_three_steps_of_the_degenerate_network_are_the_golden_vectors(inputs_seen) -> None:
    optimizer = degenerate(HierarchicalRNN.release(key=jax.random.key(0)))
    transformation = optimizer.transformation()
    state = transformation.init(jnp.zeros(2))
    rates = jnp.log(jnp.array([[1e-3, 1e-2]]))
    state = state._replace(scalars=state.scalars._replace(log_learning_rate=rates))
    for gradient, inputs, step in STEPS:
        updates, state = transformation.update(jnp.array(gradient), state)
        np.testing.assert_allclose(inputs_seen[-1][:, 0], inputs, atol=1e-6)
        # The document gives the updates rounded to the seventh or eighth decimal.
        np.testing.assert_allclose(-updates, step, rtol=0, atol=5.1e-8)
        np.testing.assert_allclose(state.scalars.log_learning_rate, rates, atol=1e-6)
    np.testing.assert_allclose(inputs_seen[-1][:, 1], ROW_1_AT_STEP_3, atol=1e-6)


def reference_update(gradients: list[np.ndarray], rates: np.ndarray) -> list[np.ndarray]:
    """The degenerate network's steps from the formulas, in float64 and independent of lopt."""

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    averages = [np.zeros_like(rates)] * 4
    squares = [np.zeros_like(rates)] * 4
    steps = []
    for count, gradient in enumerate(gradients):
        inp, scl = (sigmoid(2.2), sigmoid(3.2)) if count else (0.0, 0.0)
        decays = [inp ** (0.5**s) for s in range(4)]
        averages = [(1 - d) * gradient + d * a for d, a in zip(decays, averages, strict=True)]
        squares = [
            scl * v + (1 - scl) * (a**2 + 1e-12) for v, a in zip(squares, averages, strict=True)
        ]
        momenta = [
            np.arcsinh(a / np.sqrt(v + 1e-16)) for a, v in zip(averages, squares, strict=True)
        ]
        direction = sum(momenta) / 4
        direction = direction / np.sqrt(np.mean(direction**2) + 1e-16)
        steps.append(np.exp(rates - 1) * direction)
    return steps


def test_many_steps_agree_with_the_formulas_to_a_millionth() -> None:
    generator = np.random.default_rng(0)
    gradients = [generator.normal(size=7) for _ in range(30)]
    rates = generator.uniform(math.log(1e-6), math.log(1e-2), size=7)
    optimizer = degenerate(HierarchicalRNN.release(key=jax.random.key(0)))
    transformation = optimizer.transformation()
    state = transformation.init(jnp.zeros(7))
    logs = jnp.asarray(rates[None], jnp.float32)
    state = state._replace(scalars=state.scalars._replace(log_learning_rate=logs))
    update = jax.jit(transformation.update)
    for gradient, step in zip(gradients, reference_update(gradients, rates), strict=True):
        updates, state = update(jnp.asarray(gradient, jnp.float32), state)
        np.testing.assert_allclose(
            -updates / np.exp(rates - 1), step / np.exp(rates - 1), atol=2e-6
        )


@pytest.mark.parametrize(("attention", "count"), [(False, 8349), (True, 8363)])
def test_the_release_preset_has_the_released_number_of_meta_params(
    attention: bool, count: int
) -> None:
    optimizer = HierarchicalRNN.release(attention=attention, key=jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(optimizer)) == count


def test_meta_params_are_counted_as_the_paper_s_table_counts_them() -> None:
    optimizer = HierarchicalRNN.release(key=jax.random.key(0))

    def count(part: object) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(part))

    rnn = optimizer.parameter_rnn
    assert count(optimizer.initial_hidden) == 50
    assert (count(rnn.cell.gates), count(rnn.cell.candidate)) == (460, 230)
    assert count(optimizer.tensor_to_parameter) == count(optimizer.global_to_parameter) == 630
    assert count(optimizer.global_to_tensor) == 1260
    assert (count(optimizer.tensor_cell), count(optimizer.global_cell)) == (2580, 2460)
    assert count(rnn.direction) == 14
    assert count(rnn.scale_decay) == count(rnn.input_decay) == 11
    assert count(rnn.learning_rates) == 13


def test_initial_values_are_those_of_the_paper_s_table() -> None:
    optimizer = HierarchicalRNN.release(key=jax.random.key(0))
    rnn = optimizer.parameter_rnn
    assert float(rnn.scale_decay.bias) == pytest.approx(3.2)
    assert float(rnn.input_decay.bias) == pytest.approx(2.2)
    assert float(rnn.learning_rates.momentum_logit) == pytest.approx(3.2)
    assert float(rnn.learning_rates.step_offset) == -1.0
    assert not rnn.learning_rates.change.weights.any()
    np.testing.assert_allclose(rnn.cell.gates.bias, 2.2, rtol=1e-6)
    assert not rnn.cell.candidate.bias.any()
    spread = float(optimizer.tensor_cell.gates.matrix.std())
    assert spread == pytest.approx(0.5 / math.sqrt(42), rel=0.1)


def test_attention_begins_with_a_copy_of_the_direction_s_weights() -> None:
    rnn = HierarchicalRNN.paper(key=jax.random.key(0)).parameter_rnn
    np.testing.assert_array_equal(rnn.attended_direction.weights, rnn.direction.weights)


def test_timescales_at_the_initial_decay_are_those_of_the_paper() -> None:
    scales = timescales(jax.nn.sigmoid(jnp.full((1,), 2.2)), 4)[:, 0]
    np.testing.assert_allclose(scales, [0.900, 0.949, 0.974, 0.987], atol=5e-4)


def test_squashing_is_the_inverse_hyperbolic_sine_of_either_sign() -> None:
    momenta = jnp.array([[-1e6, -1.0, 0.0, 1.0, 1e6]])
    squashed = feature_module.scaled_momenta(momenta, jnp.ones((1, 5)), squash=True)
    np.testing.assert_allclose(squashed[0], np.arcsinh(np.asarray(momenta[0])), rtol=1e-6)


@pytest.mark.parametrize(
    ("preset", "floats"), [(HierarchicalRNN.release, 19), (HierarchicalRNN.paper, 20)]
)
def test_the_state_is_19_floats_a_scalar_and_20_with_attention(preset, floats: int) -> None:
    optimizer = preset(key=jax.random.key(0))
    state = optimizer.transformation().init(jnp.zeros(1000))
    upper = 20 + 20 + 1
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) == 1000 * floats + upper


def test_the_presets_differ_from_one_another_as_the_paper_and_its_code_do() -> None:
    release = HierarchicalRNN.release(key=jax.random.key(0)).hyper_parameters()
    paper = HierarchicalRNN.paper(key=jax.random.key(0)).hyper_parameters()
    different = {name for name in release if release[name] != paper[name]}
    assert different == {"extra_features", "squash", "scale_decays", "attention"}
    assert HierarchicalRNN.paper(key=jax.random.key(0)).parameter_rnn.feature_width == 9
    assert HierarchicalRNN.release(key=jax.random.key(0)).parameter_rnn.feature_width == 12
