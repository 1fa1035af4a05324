"""A recurrent network for every scalar alone: no scalar learns anything of another.

[1] Wichrowska et al. 2017, https://arxiv.org/abs/1703.04813 (its released code)
[2] Andrychowicz et al. 2016, https://arxiv.org/abs/1606.04474
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from lopt.architectures.base import LearnedOptimizer
from lopt.architectures.blocks import Blocks, blocks_of
from lopt.architectures.coordinatewise_network import (
    INPUTS,
    CoordinatewiseNetwork,
    ScalarState,
)
from lopt.architectures.elementwise import (
    clean_gradient,
    flat_tensors,
    scalar_by_scalar,
    updates_of_tensors,
)
from lopt.architectures.learning_rates import (
    DEFAULT_LEARNING_RATE,
    LARGEST_LOG_LEARNING_RATE,
    InitialLearningRate,
    initial_log_learning_rates,
)
from lopt.architectures.lstm import LSTMState


class CoordinatewiseRNNState(NamedTuple):
    """What the optimizer remembers: 82 floats for every scalar (80 with `andrychowicz`)."""

    inner_step: Int[Array, ""]
    scalars: ScalarState


class CoordinatewiseRNN(LearnedOptimizer):
    """A stack of LSTM cells for every scalar of the params, with weights that all share.

    Take a preset, `CoordinatewiseRNN.release(key=key)` (the optimizer of that name in [1]'s
    released code, PAPER.md section 4.8) or `CoordinatewiseRNN.andrychowicz(key=key)` (that of
    [2]); the arguments are there for ablations. Gradient entries that are not finite count as
    zero. Difference from [2]: the readout has no bias. Differences from the released code:

    - It has no default sizes: its `metarun.py` hands it [10, 20, 20] and cells (`GRUCell`) with
      which it cannot run. Two cells of 20 units are ours: they are the sizes of [2], and of
      flags that `metarun.py` uses only in a directory's name.
    - The mean square of the gradient begins at the first square instead of at 1, so that the
      size of the loss does not matter.
    - The readout of learning rates begins at zero, as `metarun.py` asks for
      (`zero_init_lr_weights`); the class itself draws it by default.
    - Initial learning rates are drawn half for the scalar and half for its tensor, as
      `RandomLearningRate` says; there log-uniformly for each scalar alone, by default from
      (1, 1). Their logarithms are clipped to +-33.
    - Weights of the cells are drawn as all others.
    - Sparse gradients, for which it takes slices of the state, do not exist in JAX.

    **Arguments**

    - `hidden_sizes`: units of each cell, the lowest first.
    - `inputs`: "scaled_gradient" (arsinh of the gradient in units of its root mean square,
      whose decay is read off the network) or "log_and_sign" ([2], appendix A).
    - `learned_learning_rate`: steps are in units of a learning rate of the scalar's own, which
      begins at `initial_learning_rate` and is multiplied in every step by a number between 0
      and 2 that is read off the network. Without it `initial_learning_rate` changes nothing.
    - `learned_initial_state`: initial states are meta-params instead of zeros.
    - `output_scale`: a constant factor of all steps.

    Raises `ValueError` for a value that is not among these.

    **Example**

    ```python
    optimizer = CoordinatewiseRNN.release(key=jax.random.key(0))
    transformation = optimizer.transformation(initial_learning_rate=1e-3)
    opt_state = transformation.init(params)
    updates, opt_state = transformation.update(gradient, opt_state)
    ```
    """

    presets: ClassVar[tuple[str, ...]] = ("release", "andrychowicz")

    hidden_sizes: tuple[int, ...] = eqx.field(static=True)
    inputs: str = eqx.field(static=True)
    learned_learning_rate: bool = eqx.field(static=True)
    learned_initial_state: bool = eqx.field(static=True)
    output_scale: float = eqx.field(static=True)

    network: CoordinatewiseNetwork
    # Of each cell: memory and hidden state.
    initial_state: tuple[Float[Array, "2 _"], ...] | None

    def __init__(
        self,
        *,
        hidden_sizes: Sequence[int] = (20, 20),
        inputs: str = "scaled_gradient",
        learned_learning_rate: bool = True,
        learned_initial_state: bool = True,
        output_scale: float = 1.0,
        key: Key[Array, ""],
    ):
        self.hidden_sizes, self.inputs = tuple(hidden_sizes), inputs
        self.learned_learning_rate = learned_learning_rate
        self.learned_initial_state = learned_initial_state
        self.output_scale = output_scale
        _check_hyper_parameters(self)

        network_key, state_key = jax.random.split(key)
        self.network = CoordinatewiseNetwork(
            self.hidden_sizes, inputs, learned_learning_rate, output_scale, key=network_key
        )
        drawn = _draw_state(state_key, self.hidden_sizes)
        self.initial_state = drawn if learned_initial_state else None

    @classmethod
    def release(cls, **changes: Any) -> "CoordinatewiseRNN":
        """Return the optimizer of the released code of [1], with two cells of 20 units, as [2]."""
        return cls(**changes)

    @classmethod
    def andrychowicz(cls, **changes: Any) -> "CoordinatewiseRNN":
        """Return the optimizer of [2]: its inputs, its output scale, and no learning rates.

        [2] meta-trained it without second derivatives, which is a setting of meta-training.
        """
        settings: dict[str, Any] = {
            "inputs": "log_and_sign",
            "learned_learning_rate": False,
            "learned_initial_state": False,
            "output_scale": 0.1,
        }
        return cls(**(settings | changes))

    @classmethod
    def examples(cls) -> Sequence["CoordinatewiseRNN"]:
        key = jax.random.key(0)
        return (cls.release(key=key), cls.andrychowicz(key=key))

    def transformation(
        self, initial_learning_rate: InitialLearningRate = DEFAULT_LEARNING_RATE
    ) -> optax.GradientTransformationExtraArgs:
        def init(params: optax.Params) -> Any:
            return self._init(params, initial_learning_rate)

        return scalar_by_scalar(init, self._update, initial_learning_rate)

    def _init(
        self, params: optax.Params, initial_learning_rate: InitialLearningRate
    ) -> CoordinatewiseRNNState:
        blocks = blocks_of(params)
        scalars = ScalarState(self._first_layers(blocks), None, None)
        if self.network.scale_decay is not None:
            mean_square = jnp.zeros((blocks.count, blocks.width), jnp.float32)
            scalars = scalars._replace(mean_square=mean_square)
        if self.network.rate_change is not None:
            rates = blocks.pack(initial_log_learning_rates(initial_learning_rate, blocks.sizes))
            # Not by `within_range`, of which an infinite logarithm comes back as NaN.
            limit = LARGEST_LOG_LEARNING_RATE
            scalars = scalars._replace(log_learning_rate=jnp.clip(rates, -limit, limit))
        return CoordinatewiseRNNState(jnp.zeros((), jnp.int32), scalars)

    def _first_layers(self, blocks: Blocks) -> tuple[LSTMState, ...]:
        first = self.initial_state
        if first is None:
            first = tuple(jnp.zeros((2, size), jnp.float32) for size in self.hidden_sizes)
        repeats = (blocks.count, 1, blocks.width)
        return tuple(LSTMState(*(jnp.tile(part[:, None], repeats) for part in of)) for of in first)

    def _update(
        self, updates: optax.Updates, state: CoordinatewiseRNNState
    ) -> tuple[optax.Updates, CoordinatewiseRNNState]:
        blocks = blocks_of(updates)
        inner_step = jnp.asarray(optax.safe_increment(state.inner_step))
        if not blocks.sizes:
            return updates, state._replace(inner_step=inner_step)
        flat = blocks.pack(flat_tensors(clean_gradient(updates)))

        def run(block: tuple[ScalarState, Float[Array, " width"]]) -> tuple[ScalarState, Array]:
            return self.network(*block, first=state.inner_step == 0)

        scalars, steps = blocks.map(run, (state.scalars, flat))
        moved = updates_of_tensors(updates, blocks.unpack(steps))
        return moved, CoordinatewiseRNNState(inner_step, scalars)


def _draw_state(key: Key[Array, ""], sizes: tuple[int, ...]) -> tuple[Float[Array, "2 _"], ...]:
    keys = jax.random.split(key, len(sizes))
    return tuple(
        jax.random.uniform(cell_key, (2, size), jnp.float32, -1.0, 1.0)
        for cell_key, size in zip(keys, sizes, strict=True)
    )


def _check_hyper_parameters(optimizer: CoordinatewiseRNN) -> None:
    if optimizer.inputs not in INPUTS:
        raise ValueError(
            f"inputs is {optimizer.inputs!r}, but can only be one of {', '.join(INPUTS)}."
        )
    if min(optimizer.hidden_sizes, default=0) < 1:
        raise ValueError(
            f"hidden_sizes is {optimizer.hidden_sizes}, but must be one or more positive sizes."
        )
    if not 0 < optimizer.output_scale < math.inf:
        raise ValueError(
            f"output_scale is {optimizer.output_scale}, but must be positive and finite."
        )
