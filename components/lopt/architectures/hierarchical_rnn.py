"""The hierarchical RNN of Wichrowska et al. 2017, "Learned Optimizers that Scale and Generalize".

[1] https://arxiv.org/abs/1703.04813 (equation numbers are the paper's)

One GRU runs for every scalar of the params, one for every tensor and one for the problem;
averages go up, biases come down one step late. The scalar's RNN reads its gradient on
several timescales, each in units of its own root mean square, and writes a direction and a
change of the scalar's log learning rate.
"""

import functools
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from lopt.architectures.base import LearnedOptimizer, ParamsOffset
from lopt.architectures.blocks import Blocks, Extent, blocks_of
from lopt.architectures.cells import Affine, BiasGRU
from lopt.architectures.elementwise import (
    clean_gradient,
    flat_tensors,
    updates_of_tensors,
    valid_like,
)
from lopt.architectures.learning_rates import (
    DEFAULT_LEARNING_RATE,
    LARGEST_LOG_LEARNING_RATE,
    InitialLearningRate,
    RandomLearningRate,
    check_initial_learning_rate,
    initial_log_learning_rates,
)
from lopt.architectures.parameter_rnn import (
    EXTRA_FEATURES,
    BlockResult,
    BlockState,
    ParameterRNN,
    parameter_rnn,
)
from lopt.architectures.scalar_kernel import can_run, fused_step, on_cuda

_CHOICES = {
    "extra_features": EXTRA_FEATURES,
    "learned_decays": ("input", "scale"),
    "scale_decays": ("shared", "per_scale"),
    "relative_to": ("problem", "tensor"),
    "global_input": ("mean", "last_tensor"),
}


class HierarchicalRNNState(NamedTuple):
    """What the optimizer remembers; the released code calls the parts slots.

    19 floats for every scalar (20 with attention), where the released code has 22: the two
    decays are functions of the hidden state and are computed from it, and the copy of the
    params is kept as an offset, only with attention.
    """

    inner_step: Int[Array, ""]
    scalars: BlockState
    # One column a tensor, one for the problem; `None` for levels that are not there.
    tensor_hidden: Float[Array, "tensor_hidden tensors"] | None
    global_hidden: Float[Array, "global_hidden 1"] | None
    # theta - phi, with attention.
    offset: ParamsOffset | None


class HierarchicalRNN(LearnedOptimizer):
    """The paper's optimizer: parameter RNN, tensor RNN and global RNN.

    Take a preset, `HierarchicalRNN.release(key=key)` (the released code's defaults) or
    `HierarchicalRNN.paper(key=key)` (the paper as best known); the arguments are there for
    ablations. Differences from the released code: the global RNN is fed by the mean over
    all tensors instead of the last one (`global_input="last_tensor"` restores that), and
    gradient entries that are not finite count as zero.

    **Arguments**

    - `hidden_sizes`: units of the parameter, tensor and global RNN; one, two or three levels.
    - `scales`: timescales on which the gradient is averaged, eq. (1).
    - `extra_features`: inputs beside the scaled averages, any of "gradient_products",
      "relative_magnitudes" (eq. (4)), "relative_learning_rate", "extreme_indicator" and
      "learning_rate".
    - `squash`: whether scaled averages go through arsinh (the release) or not (the paper).
    - `scale_decays`: one decay of the mean squares "shared" by all timescales (the release)
      or its powers 2^-s, "per_scale" (the paper, eq. (2)).
    - `learned_decays`: which of the "input" and "scale" decays are read off the RNN; the
      others are 0.89 and 0.93.
    - `relative_to`: what relative learning rates are relative to: "problem" or "tensor".
    - `shortcut`: a learned linear map from the scaled averages to the direction (App. B.1).
    - `attention`: gradients are taken at a location of their own, eqs. (6) and (9).
    - `learned_learning_rate`: normalised directions with learned log learning rates; without
      it the step is the bare direction.
    - `learned_initial_state`: initial hidden states are meta-params instead of drawn.
    - `global_input`: the "mean" over tensors that are not all padding, or the "last_tensor",
      which takes part even if it is all padding.
    - `highest_log_learning_rate`: where log learning rates are clipped, -33 being the lowest;
      more than that and at most 33.

    Raises `ValueError` for a value that is not among these.

    **Example**

    ```python
    optimizer = HierarchicalRNN.release(key=jax.random.key(0))
    transformation = optimizer.transformation(initial_learning_rate=1e-3)
    opt_state = transformation.init(params)
    updates, opt_state = transformation.update(gradient, opt_state)
    ```
    """

    presets: ClassVar[tuple[str, ...]] = ("release", "paper")

    hidden_sizes: tuple[int, ...] = eqx.field(static=True)
    scales: int = eqx.field(static=True)
    extra_features: tuple[str, ...] = eqx.field(static=True)
    squash: bool = eqx.field(static=True)
    scale_decays: str = eqx.field(static=True)
    learned_decays: tuple[str, ...] = eqx.field(static=True)
    relative_to: str = eqx.field(static=True)
    shortcut: bool = eqx.field(static=True)
    attention: bool = eqx.field(static=True)
    learned_learning_rate: bool = eqx.field(static=True)
    learned_initial_state: bool = eqx.field(static=True)
    global_input: str = eqx.field(static=True)
    highest_log_learning_rate: float = eqx.field(static=True)

    parameter_rnn: ParameterRNN
    tensor_cell: BiasGRU | None
    global_cell: BiasGRU | None
    tensor_to_parameter: Affine | None
    global_to_parameter: Affine | None
    global_to_tensor: Affine | None
    initial_hidden: tuple[Float[Array, " _"], ...] | None

    def __init__(
        self,
        *,
        hidden_sizes: Sequence[int] = (10, 20, 20),
        scales: int = 4,
        extra_features: Sequence[str] = EXTRA_FEATURES[:3],
        squash: bool = True,
        scale_decays: str = "shared",
        learned_decays: Sequence[str] = ("input", "scale"),
        relative_to: str = "problem",
        shortcut: bool = True,
        attention: bool = False,
        learned_learning_rate: bool = True,
        learned_initial_state: bool = True,
        global_input: str = "mean",
        highest_log_learning_rate: float = LARGEST_LOG_LEARNING_RATE,
        key: Key[Array, ""],
    ):
        self.hidden_sizes, self.scales = tuple(hidden_sizes), scales
        self.extra_features, self.squash = tuple(extra_features), squash
        self.scale_decays, self.learned_decays = scale_decays, tuple(learned_decays)
        self.relative_to, self.shortcut, self.attention = relative_to, shortcut, attention
        self.learned_learning_rate = learned_learning_rate
        self.learned_initial_state, self.global_input = learned_initial_state, global_input
        self.highest_log_learning_rate = highest_log_learning_rate
        _check_hyper_parameters(self)

        keys = iter(jax.random.split(key, 7))
        sizes = self.hidden_sizes
        self.parameter_rnn = parameter_rnn(
            hidden=sizes[0],
            scales=scales,
            extra_features=self.extra_features,
            squash=squash,
            scale_decays=scale_decays,
            learned_decays=self.learned_decays,
            shortcut=shortcut,
            attention=attention,
            learned_learning_rate=learned_learning_rate,
            highest_log_learning_rate=highest_log_learning_rate,
            key=next(keys),
        )
        message = self._message_width
        self.tensor_cell = BiasGRU(message, sizes[1], key=next(keys)) if sizes[1:] else None
        self.global_cell = BiasGRU(sizes[1], sizes[2], key=next(keys)) if sizes[2:] else None
        self.tensor_to_parameter = self._affine(1, 0, next(keys))
        self.global_to_parameter = self._affine(2, 0, next(keys))
        self.global_to_tensor = self._affine(2, 1, next(keys))
        hidden = _draw_hidden(next(keys), sizes)
        self.initial_hidden = hidden if learned_initial_state else None

    @classmethod
    def release(cls, **changes: Any) -> "HierarchicalRNN":
        """Return the optimizer with the defaults of the released code's `metarun.py`."""
        return cls(**changes)

    @classmethod
    def paper(cls, **changes: Any) -> "HierarchicalRNN":
        """Return the optimizer as the paper describes it, as far as is known (PAPER.md 9.1)."""
        settings: dict[str, Any] = {
            "extra_features": ("relative_magnitudes", "relative_learning_rate"),
            "squash": False,
            "scale_decays": "per_scale",
            "attention": True,
        }
        return cls(**(settings | changes))

    @classmethod
    def examples(cls) -> Sequence["HierarchicalRNN"]:
        key = jax.random.key(0)
        return (
            cls.release(key=key),
            cls.paper(key=key),
            cls(hidden_sizes=(5, 10), relative_to="tensor", key=key),
            cls(hidden_sizes=(6,), scales=1, extra_features=(), key=key),
            cls(
                extra_features=EXTRA_FEATURES,
                learned_decays=(),
                learned_initial_state=False,
                shortcut=False,
                global_input="last_tensor",
                key=key,
            ),
            cls(extra_features=(), learned_learning_rate=False, attention=True, key=key),
        )

    def transformation(
        self, initial_learning_rate: InitialLearningRate = DEFAULT_LEARNING_RATE
    ) -> optax.GradientTransformationExtraArgs:
        check_initial_learning_rate(initial_learning_rate)

        def init(params: optax.Params) -> Any:
            return self._init(params, initial_learning_rate)

        def update(
            updates: optax.Updates,
            state: Any,
            params: optax.Params | None = None,
            *,
            valid: PyTree[Array] | None = None,
            **extra_args: Any,
        ) -> tuple[optax.Updates, Any]:
            del params, extra_args
            return self._update(updates, state, valid)

        return optax.GradientTransformationExtraArgs(init, update)

    @property
    def _message_width(self) -> int:
        """How many numbers a tensor's RNN gets: means of its scalars' hidden states and inputs.

        Without extra features of the hidden states alone, as in the released code.
        """
        inputs = self.parameter_rnn.feature_width if self.extra_features else 0
        return self.hidden_sizes[0] + inputs

    def _affine(self, above: int, below: int, key: Key[Array, ""]) -> Affine | None:
        if len(self.hidden_sizes) <= above:
            return None
        return Affine(self.hidden_sizes[above], 3 * self.hidden_sizes[below], key=key)

    def _init(
        self, params: optax.Params, initial_learning_rate: InitialLearningRate
    ) -> HierarchicalRNNState:
        blocks = blocks_of(params)
        hidden = self._first_hidden(initial_learning_rate)
        rates = blocks.pack(initial_log_learning_rates(initial_learning_rate, blocks.sizes))
        zeros = jnp.zeros((blocks.count, self.scales, blocks.width), jnp.float32)
        scalars = BlockState(
            hidden=jnp.tile(hidden[0][:, None], (blocks.count, 1, blocks.width)),
            log_learning_rate=jnp.clip(
                rates, -LARGEST_LOG_LEARNING_RATE, self.highest_log_learning_rate
            ),
            momenta=zeros,
            # A copy, so that both buffers can be donated.
            mean_squares=jnp.copy(zeros),
        )
        levels = len(hidden)
        offset = optax.tree.zeros_like(params, dtype=jnp.float32)
        return HierarchicalRNNState(
            inner_step=jnp.zeros((), jnp.int32),
            scalars=scalars,
            tensor_hidden=(
                jnp.tile(hidden[1][:, None], (1, len(blocks.sizes))) if levels > 1 else None
            ),
            global_hidden=jnp.copy(hidden[2][:, None]) if levels > 2 else None,
            offset=ParamsOffset(offset) if self.attention else None,
        )

    def _first_hidden(self, initial: InitialLearningRate) -> tuple[Float[Array, " _"], ...]:
        if self.initial_hidden is not None:
            return self.initial_hidden
        key = initial.key if isinstance(initial, RandomLearningRate) else jax.random.key(0)
        # Another stream than the one that learning rates are drawn from.
        return _draw_hidden(jax.random.fold_in(key, 2**31), self.hidden_sizes)

    def _update(
        self, updates: optax.Updates, state: HierarchicalRNNState, valid: PyTree[Array] | None
    ) -> tuple[optax.Updates, HierarchicalRNNState]:
        blocks = blocks_of(updates)
        inner_step = jnp.asarray(optax.safe_increment(state.inner_step))
        if not blocks.sizes:
            return updates, state._replace(inner_step=inner_step)
        flat = flat_tensors(clean_gradient(updates))
        real = valid_like(updates, valid)
        extent = blocks.extent(None if real is None else flat_tensors(real))
        result = self._run_blocks(blocks, blocks.pack(flat), state, extent)
        upper = self._run_upper_levels(blocks, result, state, extent)
        if self.learned_learning_rate:
            steps = _normalise(blocks, result, extent)
        else:
            steps = [blocks.unpack(step) for step in result.steps]
        offset, moves = None, steps[0]
        if state.offset is not None:
            offset, moves = _attend(state.offset, *steps)
        new_state = HierarchicalRNNState(inner_step, result.scalars, *upper, offset)
        return updates_of_tensors(updates, moves), new_state

    def _run_blocks(
        self,
        blocks: Blocks,
        gradient: Float[Array, "blocks width"],
        state: HierarchicalRNNState,
        extent: Extent,
    ) -> BlockResult:
        """Run the parameter RNN for all scalars, block by block."""
        bias = self._bias_for_scalars(blocks, state)
        mean_rate = self._mean_log_learning_rate(blocks, state, extent)
        first = state.inner_step == 0
        arguments = (self.parameter_rnn, state.scalars, gradient, bias, mean_rate, first)
        run = functools.partial(self._by_operations, blocks)
        if can_run(blocks.width, blocks.together):
            return on_cuda(fused_step, run, *arguments, extent.valid)
        return run(*arguments, extent.valid)

    def _by_operations(
        self,
        blocks: Blocks,
        rnn: ParameterRNN,
        scalars: BlockState,
        gradient: Float[Array, "blocks width"],
        bias: Float[Array, "blocks three_hidden _"] | None,
        mean_rate: Float[Array, "blocks 1 _"],
        first: Bool[Array, ""],
        valid: Bool[Array, "blocks width"] | None,
    ) -> BlockResult:
        def run(block: tuple[Any, ...]) -> BlockResult:
            scalars, gradient, bias, mean_rate, valid = block
            scalars, inputs, *proposals = rnn(scalars, gradient, bias, mean_rate[0], first)
            message = scalars.hidden
            if self.extra_features:
                message = jnp.concatenate([message, inputs])
            made = [proposal for proposal in proposals if proposal is not None]
            directions = jnp.stack([proposal.direction for proposal in made])
            return BlockResult(
                scalars,
                tuple(proposal.step for proposal in made),
                blocks.sum_rows(message, valid),
                blocks.sum_rows(jnp.square(directions), valid),
            )

        result: BlockResult = blocks.map(run, (scalars, gradient, bias, mean_rate, valid))
        return result

    def _bias_for_scalars(
        self, blocks: Blocks, state: HierarchicalRNNState
    ) -> Float[Array, "blocks three_hidden _"] | None:
        """Return what the upper levels, as they were after the last step, say to the scalars."""
        if self.tensor_to_parameter is None or state.tensor_hidden is None:
            return None
        bias = self.tensor_to_parameter(state.tensor_hidden)
        if self.global_to_parameter is not None and state.global_hidden is not None:
            bias = bias + self.global_to_parameter(state.global_hidden)
        return blocks.spread(bias)

    def _mean_log_learning_rate(
        self,
        blocks: Blocks,
        state: HierarchicalRNNState,
        extent: Extent,
    ) -> Float[Array, "blocks 1 _"]:
        """Return what learning rates are relative to: a mean over the problem or a tensor."""
        rates = state.scalars.log_learning_rate
        means = blocks.mean(blocks.sum_one(rates, extent.valid), extent.counts)
        if self.relative_to == "problem":
            counts = extent.counts[None]
            mean = (means * counts).sum(1, keepdims=True) / counts.sum()
            means = jnp.broadcast_to(mean, means.shape)
        return blocks.spread(means)

    def _run_upper_levels(
        self, blocks: Blocks, result: BlockResult, state: HierarchicalRNNState, extent: Extent
    ) -> tuple[Array | None, Array | None]:
        """Run the tensor RNN and the global RNN: eqs. (11) and (12)."""
        if self.tensor_cell is None or state.tensor_hidden is None:
            return None, None
        bias = None
        if self.global_to_tensor is not None and state.global_hidden is not None:
            bias = self.global_to_tensor(state.global_hidden)
        tensor_hidden = self.tensor_cell(
            blocks.mean(result.message_sums, extent.counts), state.tensor_hidden, bias
        )
        if self.global_cell is None or state.global_hidden is None:
            return tensor_hidden, None
        if self.global_input == "mean":
            present = (extent.counts > 0).astype(jnp.float32)[None]
            total = jnp.maximum(present.sum(), 1.0)
            summary = (tensor_hidden * present).sum(1, keepdims=True) / total
        else:
            summary = tensor_hidden[:, -1:]
        return tensor_hidden, self.global_cell(summary, state.global_hidden)


def _normalise(
    blocks: Blocks, result: BlockResult, extent: Extent
) -> list[list[Float[Array, " _"]]]:
    """Divide each tensor's steps by the root mean square of its direction: PAPER.md 3.1.

    The paper's eq. (5) divides by the norm over N instead, which is sqrt(N) times as much.
    """
    mean_squares = blocks.mean(result.square_sums, extent.counts)
    inverse = blocks.spread(jax.lax.rsqrt(mean_squares + 1e-16))
    return [blocks.unpack(step * inverse[:, row]) for row, step in enumerate(result.steps)]


def _attend(
    offset: ParamsOffset,
    steps: list[Float[Array, " _"]],
    attended_steps: list[Float[Array, " _"]],
) -> tuple[ParamsOffset, list[Float[Array, " _"]]]:
    """Return the new `theta - phi` and what to take from phi: PAPER.md section 3.5.

    Both locations are reached from the old theta, so the params need not be known.
    """
    leaves, structure = jax.tree.flatten(offset)
    new_leaves, moves = [], []
    pairs = iter(zip(steps, attended_steps, strict=True))
    for leaf in leaves:
        if not leaf.size:
            new_leaves.append(leaf)
            continue
        step, attended_step = (part.reshape(leaf.shape) for part in next(pairs))
        new_leaves.append(attended_step - step)
        moves.append((attended_step - leaf).reshape(-1))
    return jax.tree.unflatten(structure, new_leaves), moves


def _draw_hidden(key: Key[Array, ""], sizes: Sequence[int]) -> tuple[Float[Array, " _"], ...]:
    keys = jax.random.split(key, len(sizes))
    return tuple(
        jax.random.uniform(level_key, (size,), jnp.float32, -1.0, 1.0)
        for level_key, size in zip(keys, sizes, strict=True)
    )


def _check_choices(optimizer: HierarchicalRNN) -> None:
    for name, allowed in _CHOICES.items():
        value = getattr(optimizer, name)
        for one in (value,) if isinstance(value, str) else value:
            if one not in allowed:
                raise ValueError(f"{name} is {value!r}, but can only be of {', '.join(allowed)}.")


def _check_hyper_parameters(optimizer: HierarchicalRNN) -> None:
    _check_choices(optimizer)
    if not 1 <= len(optimizer.hidden_sizes) <= 3 or min(optimizer.hidden_sizes) < 1:
        raise ValueError(
            f"hidden_sizes is {optimizer.hidden_sizes}, but must be one to three positive sizes."
        )
    if optimizer.scales < 1:
        raise ValueError(f"scales is {optimizer.scales}, but must be at least 1.")
    limit, highest = LARGEST_LOG_LEARNING_RATE, optimizer.highest_log_learning_rate
    if not -limit < highest <= limit:
        raise ValueError(
            f"highest_log_learning_rate is {highest}, but must be more than {-limit:g}, which is "
            f"the lowest, and at most {limit:g}."
        )
    if "gradient_products" in optimizer.extra_features and optimizer.scales == 1:
        raise ValueError("gradient_products multiply neighbouring scales, so need scales > 1.")
    if "relative_learning_rate" in optimizer.extra_features and not (
        optimizer.learned_learning_rate
    ):
        raise ValueError(
            "relative_learning_rate needs learned_learning_rate=True: without it there are none."
        )
