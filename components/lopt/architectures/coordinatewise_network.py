"""The network that runs for every scalar alone: one step for the scalars of one block.

Wichrowska et al. 2017 (its released code's `CoordinatewiseRNN`, PAPER.md section 4.8) and
Andrychowicz et al. 2016: https://arxiv.org/abs/1606.04474
"""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from lopt.architectures import features
from lopt.architectures.cells import Readout, scaled_normal
from lopt.architectures.learning_rates import within_range
from lopt.architectures.log_and_sign import log_and_sign
from lopt.architectures.lstm import LSTM, LSTMState
from lopt.written_once import cotangent_computed_once

INPUTS = {"scaled_gradient": 1, "log_and_sign": 2}
"""What the network may be shown of the gradient, and how many numbers that is."""


class ScalarState(NamedTuple):
    """What is remembered of every scalar of a block; with a leading axis, of all blocks."""

    layers: tuple[LSTMState, ...]
    # With scaled gradients.
    mean_square: Float[Array, "*blocks width"] | None
    # With learned learning rates.
    log_learning_rate: Float[Array, "*blocks width"] | None


class CoordinatewiseNetwork(eqx.Module):
    """A stack of LSTM cells and what is read off the uppermost.

    **Example**

    ```python
    network = CoordinatewiseNetwork((20, 20), "log_and_sign", False, 0.1, key=key)
    state, step = network(state, gradient, first=jnp.array(True))
    ```
    """

    cells: tuple[LSTM, ...]
    direction: Float[Array, " hidden"]
    scale_decay: Readout | None
    rate_change: Readout | None
    output_scale: float = eqx.field(static=True)

    def __init__(
        self,
        hidden_sizes: tuple[int, ...],
        inputs: str,
        learned_learning_rate: bool,
        output_scale: float,
        *,
        key: Key[Array, ""],
    ):
        cells_key, direction_key, decay_key = jax.random.split(key, 3)
        top = hidden_sizes[-1]
        self.cells = _draw_cells(cells_key, INPUTS[inputs], hidden_sizes)
        self.direction = scaled_normal(direction_key, top, 1)[:, 0]
        self.scale_decay = self.rate_change = None
        if inputs == "scaled_gradient":
            self.scale_decay = Readout(scaled_normal(decay_key, top, 1)[:, 0], 2.2)
        if learned_learning_rate:
            self.rate_change = Readout(jnp.zeros((top,), jnp.float32), 0.0)
        self.output_scale = output_scale

    def __call__(
        self, state: ScalarState, gradient: Float[Array, " width"], first: Bool[Array, ""]
    ) -> tuple[ScalarState, Float[Array, " width"]]:
        """Return the next state and what to take from the params; `first` tells step 0."""
        x, mean_square = self._inputs(state, gradient, first)
        layers = []
        for cell, remembered in zip(self.cells, state.layers, strict=True):
            layers.append(cell(x, remembered))
            x = layers[-1].hidden
        if self.rate_change is None or state.log_learning_rate is None:
            (direction,) = _read_off(x, self.direction)
            return ScalarState(tuple(layers), mean_square, None), self.output_scale * direction
        direction, change = _read_off(x, self.direction, self.rate_change.weights)
        change = math.log(2) + jax.nn.log_sigmoid(change + self.rate_change.bias)
        rate = within_range(state.log_learning_rate + change)
        step = jnp.exp(rate) * (self.output_scale * direction)
        return ScalarState(tuple(layers), mean_square, rate), step

    def _inputs(
        self, state: ScalarState, gradient: Float[Array, " width"], first: Bool[Array, ""]
    ) -> tuple[Float[Array, "inputs width"], Float[Array, " width"] | None]:
        """Return what the lowest cell is shown, and the gradient's mean square."""
        if self.scale_decay is None or state.mean_square is None:
            return log_and_sign(gradient), None
        # It was read off the network when the last step was done.
        (decay,) = _read_off(state.layers[-1].hidden, self.scale_decay.weights)
        decay = jax.nn.sigmoid(decay + self.scale_decay.bias)
        square = jnp.square(gradient) + 1e-12
        mean_square = features.average(state.mean_square[None], square[None], decay[None], first)
        return features.scaled_momenta(gradient[None], mean_square, squash=True), mean_square[0]


def _read_off(h: Float[Array, "hidden n"], *weights: Float[Array, " hidden"]) -> Array:
    """Multiply every column by each row of weights; gradients by these are sums over columns."""
    return cotangent_computed_once(jnp.stack(weights) @ h)


def _draw_cells(key: Key[Array, ""], inputs: int, sizes: tuple[int, ...]) -> tuple[LSTM, ...]:
    keys = jax.random.split(key, len(sizes))
    below = (inputs, *sizes[:-1])
    return tuple(
        LSTM(width, size, key=cell_key)
        for width, size, cell_key in zip(below, sizes, keys, strict=True)
    )
