"""The rule of Metz et al. 2022 by its formulas, in float64: https://arxiv.org/abs/2203.11860.

Features, their epsilons and the rule are those of the published code,
https://github.com/google/learned_optimization/blob/main/learned_optimization/learned_optimizers/adafac_mlp_lopt.py
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.architectures import AdafactorMLP
from lopt.architectures.adafactor_features import time_features

DECAYS = np.array([0.9, 0.99, 0.999])
SHAPES = {
    "wide": (3, 5),
    "tall": (5, 3),
    "square": (2, 2),
    # The two longest axes are the first and the last.
    "kernel": (4, 2, 3),
    "vector": (4,),
    "scalar": (),
}


def inverse_root(values, smallest=1e-9):
    return 1 / np.sqrt(np.maximum(values, smallest))


class Reference:
    """The rule for one tensor; features stand last."""

    def __init__(self, shape):
        self.shape = shape
        self.momenta = np.zeros((*shape, 3))
        self.mean_square = np.zeros((*shape, 1))
        if len(shape) < 2:
            self.diagonal = np.zeros((*shape, 3))
            return
        *_, self.second_longest, self.longest = np.argsort(shape, kind="stable")
        self.of_short = np.zeros((*np.delete(shape, self.longest), 3))
        self.of_long = np.zeros((*np.delete(shape, self.second_longest), 3))

    def features(self, gradient, params):
        """Move the averages on; return the features in our order: own ones, then those of lines."""
        g, p = gradient[..., None], params[..., None]
        self.momenta = DECAYS * self.momenta + (1 - DECAYS) * g
        self.mean_square = 0.999 * self.mean_square + 0.001 * g**2
        root = inverse_root(self.mean_square + 1e-6, 0)
        for_gradient, for_momenta, lines = self.factored(g)
        m = self.momenta
        own = [g, p, m, self.mean_square, m * root, root, g * for_gradient, m * for_momenta]
        return np.concatenate([*own, *lines], axis=-1)

    def factored(self, g):
        squares = g**2 + 1e-30
        if len(self.shape) < 2:
            self.diagonal = DECAYS * self.diagonal + (1 - DECAYS) * squares
            v = self.diagonal
            line = [v, inverse_root(v + 1e-8, 0)]
            return inverse_root(v + 1e-9), inverse_root(v + 1e-6, 0), [*line, *line]
        long, second = self.longest, self.second_longest
        self.of_short = DECAYS * self.of_short + (1 - DECAYS) * squares.mean(long)
        self.of_long = DECAYS * self.of_long + (1 - DECAYS) * squares.mean(second)
        axis = second - (second > long)
        relative = self.of_short / (self.of_short.mean(axis, keepdims=True) + 1e-9)
        short_factor = np.expand_dims(inverse_root(relative), long)
        long_factor = np.expand_dims(inverse_root(self.of_long), second)
        lines = []
        for values, missing in ((self.of_short, long), (self.of_long, second)):
            spread = np.broadcast_to(np.expand_dims(values, missing), (*self.shape, 3))
            lines += [spread, inverse_root(spread + 1e-8, 0)]
        return short_factor * long_factor, short_factor * long_factor, lines

    def update(self, layers, inner_step, gradient, params):
        x = self.features(gradient, params)
        over_all = tuple(range(len(self.shape)))
        x = x / np.sqrt(1e-5 + (x**2).mean(over_all, keepdims=True))
        timescales = np.array([1, 3, 10, 30, 100, 300, 1e3, 3e3, 1e4, 3e4, 1e5])
        time = np.broadcast_to(np.tanh(inner_step / timescales - 1), (*self.shape, 11))
        x = np.concatenate([x, time], axis=-1)
        for matrix, bias in layers[:-1]:
            x = np.maximum(x @ matrix + bias, 0)
        matrix, bias = layers[-1]
        direction, magnitude = np.moveaxis(x @ matrix + bias, -1, 0)
        return -0.001 * direction * np.exp(0.001 * magnitude)


def waves(*shape, phase=0.0):
    """Numbers of both signs that are easily made again."""
    size = int(np.prod(shape))
    return np.sin(phase + 1.7 * np.arange(size)).reshape(shape)


def layers():
    """Meta-params so large that the magnitude matters."""
    return [
        (waves(39, 4), waves(4, phase=1.0)),
        (waves(4, 4, phase=2.0), waves(4, phase=3.0)),
        (30.0 * waves(4, 2, phase=4.0), waves(2, phase=5.0)),
    ]


def with_layers(optimizer, layers):
    flat = [jnp.asarray(array, jnp.float32) for layer in layers for array in layer]
    mlp = jax.tree.unflatten(jax.tree.structure(optimizer.mlp), flat)
    return eqx.tree_at(lambda o: o.mlp, optimizer, mlp)


def draws(seed):
    generator = np.random.default_rng(seed)
    return {name: 0.1 * generator.normal(size=shape) for name, shape in SHAPES.items()}


def in_float32(tree):
    return jax.tree.map(lambda array: jnp.asarray(array, jnp.float32), tree)


def assert_close(found, expected):
    """Relative to the largest of a tensor, since sums of both signs cancel."""
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_updates_of_four_steps_are_those_of_the_formulas() -> None:
    optimizer = with_layers(AdafactorMLP.release(key=jax.random.key(0)), layers())
    transformation = optimizer.transformation()
    update = jax.jit(transformation.update)
    params = draws(0)
    references = {name: Reference(shape) for name, shape in SHAPES.items()}
    state = transformation.init(in_float32(params))
    for inner_step in range(4):
        gradient = draws(10 + inner_step)
        updates, state = update(in_float32(gradient), state, in_float32(params))
        for name, reference in references.items():
            expected = reference.update(layers(), inner_step, gradient[name], params[name])
            assert_close(updates[name], expected)


def test_each_feature_after_two_steps_is_that_of_the_formulas() -> None:
    """An MLP that lets one feature through, at a time."""
    optimizer = AdafactorMLP(hidden_size=2, hidden_layers=1, key=jax.random.key(0))
    params, gradients = draws(0), [draws(1), draws(2)]

    def show(feature):
        # The relus of a number and of minus the number, whose difference it is.
        first = jnp.zeros((39, 2)).at[feature].set(jnp.array([1.0, -1.0]))
        last = jnp.array([[-1000.0, 0.0], [1000.0, 0.0]])
        shows = with_layers(optimizer, [(first, jnp.zeros(2)), (last, jnp.zeros(2))])
        transformation = shows.transformation()
        state = transformation.init(in_float32(params))
        for gradient in gradients:
            updates, state = transformation.update(in_float32(gradient), state, in_float32(params))
        return updates

    found = jax.jit(jax.vmap(show))(jnp.arange(28))
    for name, shape in SHAPES.items():
        reference = Reference(shape)
        for gradient in gradients:
            features = reference.features(gradient[name], params[name])
        mean_squares = (features**2).mean(tuple(range(len(shape))))
        expected = np.moveaxis(features / np.sqrt(mean_squares + 1e-5), -1, 0)
        for feature in range(28):
            assert_close(found[name][feature], expected[feature])


def test_time_features_run_from_tanh_of_minus_one_to_one() -> None:
    np.testing.assert_allclose(time_features(jnp.asarray(0.0)), np.full(11, -0.7615942), rtol=1e-6)
    later = time_features(jnp.asarray(300.0))
    assert later[0] == 1.0
    np.testing.assert_allclose(later[5:7], [0.0, np.tanh(-0.7)], rtol=1e-6, atol=1e-7)


def test_the_release_has_197_meta_params_as_the_published_one() -> None:
    """190 of the MLP with 28 + 11 inputs, and 7 decays."""
    optimizer = AdafactorMLP.release(key=jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(optimizer)) == 197
    np.testing.assert_allclose(optimizer.momenta.x, np.log(1 - DECAYS) / 10, rtol=1e-6)
    np.testing.assert_allclose(optimizer.mean_square.x, [np.log(0.001) / 10], rtol=1e-6)
    np.testing.assert_allclose(optimizer.factored.x, np.log(1 - DECAYS) / 10, rtol=1e-6)


@pytest.mark.parametrize(
    ("feature", "gradient", "updates"),
    [
        # The gradient: its mean square is 12.5, [3, -4] / sqrt(12.50001) = [0.848528, -1.131370],
        # so that the direction is [2.848528, 0.868630].
        (0, [3.0, -4.0], [-3.224065e-3, -9.831458e-4]),
        # The mean square, 0.001 [9, 16], whose own is (0.009^2 + 0.016^2) / 2 = 1.685e-4:
        # [0.009, 0.016] / sqrt(1.785e-4) = [0.673633, 1.197570].
        (5, [3.0, -4.0], [-3.026113e-3, -3.619123e-3]),
        # A momentum, 0.1 g, over the root of 0.1 g^2 + 1e-6, [1.9e-6, 2.6e-6]: it is
        # [0.217643, -0.248069]; over sqrt(0.0544534 + 1e-5) that is [0.932592, -1.062969].
        (13, [0.003, -0.004], [-3.319212e-3, -1.060564e-3]),
    ],
)
def test_the_first_step_of_a_vector_is_what_it_is_by_hand(feature, gradient, updates) -> None:
    """The direction is 2 more than the feature; the magnitude 100 (2 + tanh(-1)) = 123.84058.

    So updates are minus the direction times 0.001 exp(0.12384058) = 1.131835e-3.
    """
    matrix = jnp.zeros((39, 2)).at[feature, 0].set(1.0).at[30, 1].set(1.0)
    weights = [
        (matrix, jnp.array([2.0, 2.0])),
        (jnp.array([[1.0, 0.0], [0.0, 100.0]]), jnp.zeros(2)),
    ]
    optimizer = with_layers(
        AdafactorMLP(hidden_size=2, hidden_layers=1, key=jax.random.key(0)), weights
    )
    transformation = optimizer.transformation()
    params = jnp.array([1.0, -1.0])
    found, _ = transformation.update(jnp.array(gradient), transformation.init(params), params)
    np.testing.assert_allclose(found, updates, rtol=2e-6)
