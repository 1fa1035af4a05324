"""The lowest level of the hierarchical RNN: one step for the scalars of one block.

Wichrowska et al. 2017, sections 3.2.1 to 3.2.4: https://arxiv.org/abs/1703.04813
"""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from lopt.architectures import features
from lopt.architectures.cells import BiasGRU, Readout, read_off, scaled_normal
from lopt.architectures.learning_rates import LARGEST_LOG_LEARNING_RATE, within_range

CONSTANT_INPUT_DECAY, CONSTANT_SCALE_DECAY = 0.89, 0.93
EXTRA_FEATURES = (
    "gradient_products",
    "relative_magnitudes",
    "relative_learning_rate",
    "extreme_indicator",
    "learning_rate",
)


class BlockState(NamedTuple):
    """What is remembered of every scalar of a block; with a leading axis, of all blocks."""

    hidden: Float[Array, "*blocks hidden width"]
    log_learning_rate: Float[Array, "*blocks width"]
    momenta: Float[Array, "*blocks scales width"]
    mean_squares: Float[Array, "*blocks scales width"]


class Proposal(NamedTuple):
    """A step for every scalar, its direction not yet normalised over the tensor."""

    step: Float[Array, "*blocks width"]
    direction: Float[Array, "*blocks width"]


class BlockResult(NamedTuple):
    """What comes of a step in a block; with a leading axis, in all blocks."""

    scalars: BlockState
    # Learning rate times direction, before directions are normalised; the attended step last.
    steps: tuple[Float[Array, "*blocks width"], ...]
    # Sums over the scalars of each of the block's tensors.
    message_sums: Float[Array, "*blocks message _"]
    square_sums: Float[Array, "*blocks directions _"]


class Direction(eqx.Module):
    """A direction read off the hidden state, with a shortcut past it: eq. (5), appendix B.1."""

    weights: Float[Array, " hidden"]
    shortcut: Float[Array, " scales"] | None

    def __init__(
        self, weights: Float[Array, " hidden"], scales: int, shortcut: bool, *, key: Key[Array, ""]
    ):
        self.weights = weights
        noise = jax.random.normal(key, (scales,), jnp.float32)
        self.shortcut = 1 / scales + 0.1 / scales**0.5 * noise if shortcut else None

    def __call__(
        self, read: Float[Array, " n"], momenta: Float[Array, "scales n"]
    ) -> Float[Array, " n"]:
        """Return the direction, of what `weights` have read off the hidden state."""
        return read if self.shortcut is None else read + self.shortcut @ momenta


class LearningRates(eqx.Module):
    """How log learning rates change: eqs. (7) to (9), PAPER.md section 3.2."""

    change: Readout
    momentum_logit: Float[Array, ""]
    # The released code's `param_stepsize_offset`; minus the paper's constant c of eq. (9).
    step_offset: Float[Array, ""]
    highest: float = eqx.field(static=True)

    def __init__(self, hidden: int, highest: float):
        self.change = Readout(jnp.zeros((hidden,), jnp.float32), 0.0)
        self.momentum_logit = jnp.asarray(3.2, jnp.float32)
        self.step_offset = jnp.asarray(-1.0, jnp.float32)
        self.highest = highest

    def __call__(
        self, read: Float[Array, " n"], remembered: Float[Array, " n"]
    ) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """Return the log learning rate to use now and the smoothed one to remember.

        Of what `change.weights` have read off the hidden state.
        """
        now = features.clip_straight_through(
            remembered + read + self.change.bias, -LARGEST_LOG_LEARNING_RATE, self.highest
        )
        momentum = jax.nn.sigmoid(self.momentum_logit)
        return now, momentum * remembered + (1 - momentum) * now


class ParameterRNN(eqx.Module):
    """The RNN that runs for every scalar, and everything that is read off it."""

    cell: BiasGRU
    direction: Direction
    attended_direction: Direction | None
    input_decay: Readout | None
    scale_decay: Readout | None
    learning_rates: LearningRates | None
    scales: int = eqx.field(static=True)
    extra_features: tuple[str, ...] = eqx.field(static=True)
    squash: bool = eqx.field(static=True)
    scale_decays: str = eqx.field(static=True)

    @property
    def feature_width(self) -> int:
        """How many inputs the RNN has."""
        return feature_width(self.scales, self.extra_features)

    def __call__(
        self,
        state: BlockState,
        gradient: Float[Array, " width"],
        bias: Float[Array, "three_hidden _"] | None,
        mean_log_learning_rate: Float[Array, " _"],
        first: Bool[Array, ""],
    ) -> tuple[BlockState, Float[Array, "inputs width"], Proposal, Proposal | None]:
        """Return the next state, the RNN's inputs, the proposed step and the attended one."""
        momenta, mean_squares = self._averages(state, gradient, first)
        scaled = features.scaled_momenta(momenta, mean_squares, self.squash)
        relative_rate = state.log_learning_rate - mean_log_learning_rate
        x = self._inputs(scaled, mean_squares, relative_rate, state.log_learning_rate)
        hidden = self.cell(x, state.hidden, bias)
        toward, change, attended_toward = self._read(hidden)
        direction = self.direction(toward, scaled)
        if self.learning_rates is None:
            now, remembered = jnp.zeros_like(gradient), state.log_learning_rate
            offset = jnp.zeros((), jnp.float32)
        else:
            now, remembered = self.learning_rates(change, state.log_learning_rate)
            offset = self.learning_rates.step_offset
        # The offset is a meta-param, of any value.
        proposal = Proposal(jnp.exp(within_range(now + offset)) * direction, direction)
        attended = None
        if self.attended_direction is not None:
            direction = self.attended_direction(attended_toward, scaled)
            attended = Proposal(jnp.exp(now) * direction, direction)
        return BlockState(hidden, remembered, momenta, mean_squares), x, proposal, attended

    def _read(self, hidden: Float[Array, "hidden width"]) -> list[Float[Array, " width"]]:
        """Read off what direction, change of rate and attended direction are made of."""
        none = jnp.zeros_like(self.direction.weights)
        rates, attended = self.learning_rates, self.attended_direction
        return read_off(
            hidden,
            self.direction.weights,
            none if rates is None else rates.change.weights,
            none if attended is None else attended.weights,
        )

    def _decays(
        self, hidden: Float[Array, "hidden width"]
    ) -> tuple[Float[Array, " width"], Float[Array, " width"]]:
        """Read off the decays of the gradient's averages and of those of its square."""
        none = jnp.zeros_like(self.direction.weights)
        readouts = (self.input_decay, self.scale_decay)
        read = read_off(hidden, *(none if one is None else one.weights for one in readouts))
        constants = (CONSTANT_INPUT_DECAY, CONSTANT_SCALE_DECAY)
        first, second = (
            jnp.full_like(row, constant) if one is None else jax.nn.sigmoid(row + one.bias)
            for one, row, constant in zip(readouts, read, constants, strict=True)
        )
        return first, second

    def _averages(
        self, state: BlockState, gradient: Float[Array, " width"], first: Bool[Array, ""]
    ) -> tuple[Float[Array, "scales width"], Float[Array, "scales width"]]:
        """Move the averages of the gradient and of its square on: eqs. (1) and (2).

        The decays were read off the hidden state when the last step was done.
        """
        input_decay, scale_decay = self._decays(state.hidden)
        if self.scales == 1:
            momenta = gradient[None]
        else:
            momenta = features.average(
                state.momenta, gradient[None], features.timescales(input_decay, self.scales), first
            )
        decays = scale_decay[None]
        if self.scale_decays == "per_scale":
            decays = features.timescales(scale_decay, self.scales)
        squares = jnp.square(momenta) + 1e-12
        return momenta, features.average(state.mean_squares, squares, decays, first)

    def _inputs(
        self,
        scaled: Float[Array, "scales width"],
        mean_squares: Float[Array, "scales width"],
        relative_rate: Float[Array, " width"],
        rate: Float[Array, " width"],
    ) -> Float[Array, "inputs width"]:
        """Put the inputs together in the released code's order (PAPER.md section 2.7)."""
        extra = {
            "gradient_products": lambda: scaled[:-1] * scaled[1:],
            "relative_magnitudes": lambda: features.relative_magnitudes(mean_squares),
            "relative_learning_rate": lambda: relative_rate[None],
            "extreme_indicator": lambda: features.extreme_indicator(rate)[None],
            "learning_rate": lambda: (rate - math.log(1e-3))[None],
        }
        return jnp.concatenate([scaled] + [extra[name]() for name in self.extra_features])


def feature_width(scales: int, extra_features: tuple[str, ...]) -> int:
    """Return how many inputs the RNN has with these features."""
    widths = {"gradient_products": scales - 1, "relative_magnitudes": scales}
    return scales + sum(widths.get(name, 1) for name in extra_features)


def parameter_rnn(
    *,
    hidden: int,
    scales: int,
    extra_features: tuple[str, ...],
    squash: bool,
    scale_decays: str,
    learned_decays: tuple[str, ...],
    shortcut: bool,
    attention: bool,
    learned_learning_rate: bool,
    highest_log_learning_rate: float,
    key: Key[Array, ""],
) -> ParameterRNN:
    """Draw a parameter RNN with the released code's initialisation (PAPER.md section 1.2)."""
    cell_key, direction_key, attended_key, weights_key, input_key, scale_key = jax.random.split(
        key, 6
    )

    def readout(key: Key[Array, ""], bias: float) -> Readout:
        return Readout(scaled_normal(key, hidden, 1)[:, 0], bias)

    weights = scaled_normal(weights_key, hidden, 1)[:, 0]
    learns_input_decay = "input" in learned_decays and scales > 1
    return ParameterRNN(
        cell=BiasGRU(feature_width(scales, extra_features), hidden, key=cell_key),
        direction=Direction(weights, scales, shortcut, key=direction_key),
        # Begins with the same weights as the direction, and a shortcut of its own.
        attended_direction=(
            Direction(jnp.copy(weights), scales, shortcut, key=attended_key) if attention else None
        ),
        input_decay=readout(input_key, 2.2) if learns_input_decay else None,
        scale_decay=readout(scale_key, 3.2) if "scale" in learned_decays else None,
        learning_rates=(
            LearningRates(hidden, highest_log_learning_rate) if learned_learning_rate else None
        ),
        scales=scales,
        extra_features=extra_features,
        squash=squash,
        scale_decays=scale_decays,
    )
