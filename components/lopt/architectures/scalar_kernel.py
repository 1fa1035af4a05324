"""The parameter RNN of many scalars as one kernel of a GPU, for params that fill many blocks.

Operation by operation every number that is computed on the way goes through memory. Here a
thread keeps a few scalars in its registers, from what is remembered of them to what will be.
Written for Triton, through Pallas: https://docs.jax.dev/en/latest/pallas/index.html
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from lopt.architectures.learning_rates import LARGEST_LOG_LEARNING_RATE
from lopt.architectures.parameter_rnn import (
    CONSTANT_INPUT_DECAY,
    CONSTANT_SCALE_DECAY,
    BlockResult,
    BlockState,
    ParameterRNN,
)

Result = TypeVar("Result")

SCALARS_AT_ONCE = 256
"""Of one program on the GPU: a power of two that divides a block's width."""
WARPS = 4
"""Of a program, 32 threads each. Other values of the two were not measured (LOG.md, 2026-11-27)."""

Row = Array
"""One number for every scalar of a program."""


def fused_step(
    rnn: ParameterRNN,
    state: BlockState,
    gradient: Float[Array, "blocks width"],
    bias: Float[Array, "blocks three_hidden 1"] | None,
    mean_log_learning_rate: Float[Array, "blocks 1 1"],
    first: Bool[Array, ""],
    valid: Bool[Array, "blocks width"],
    interpret: bool = False,
) -> BlockResult:
    """Do what `rnn` does for every block, and sum its messages and squared directions.

    Without extra features messages are the hidden states alone. With `interpret` the kernel
    runs operation by operation on any device.

    **Example**

    ```python
    made = fused_step(rnn, state, gradient, bias, mean, jnp.array(False), valid)
    ```
    """
    # Of no use and seconds to import where there is no GPU.
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import triton

    count, width = gradient.shape
    if bias is None:
        bias = jnp.zeros((count, 3 * state.hidden.shape[1], 1), jnp.float32)
    weights, places = _packed(rnn, first)
    in_specs, out_specs, out_shape = _layout(rnn, state, weights)
    made = pl.pallas_call(
        functools.partial(_kernel, rnn, places),
        grid=(count, width // SCALARS_AT_ONCE),
        in_specs=in_specs,
        out_specs=out_specs,
        out_shape=out_shape,
        compiler_params=triton.CompilerParams(num_warps=WARPS),
        interpret=interpret,
        name="parameter_rnn",
    )(
        weights,
        *state,
        gradient,
        valid.astype(jnp.int8),
        bias[..., 0],
        mean_log_learning_rate[..., 0],
    )
    *steps, message_sums, square_sums = made[4:]
    return BlockResult(
        BlockState(*made[:4]),
        tuple(steps),
        message_sums.sum(1)[..., None],
        square_sums.sum(1)[..., None],
    )


def can_run(width: int, together: bool) -> bool:
    """Tell whether blocks are large enough for the kernel, and a GPU is there to run it.

    **Example**

    ```python
    can_run(2048, together=False)  # False without a GPU
    ```
    """
    large = not together and width % SCALARS_AT_ONCE == 0
    return large and jax.default_backend() == "gpu"


def on_cuda(
    kernel: Callable[..., Result], operations: Callable[..., Result], *arguments: Any
) -> Result:
    """Run `kernel` where the program is compiled for NVIDIA's GPUs, and else `operations`.

    Both give the same up to rounding, and the derivatives are those of `operations`.

    **Example**

    ```python
    doubled = on_cuda(lambda x: x + x, lambda x: 2 * x, jnp.ones(3))
    ```
    """

    @jax.custom_jvp
    def either(*arguments: Any) -> Result:
        chosen: Result = jax.lax.platform_dependent(*arguments, cuda=kernel, default=operations)
        return chosen

    @either.defjvp
    def _(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Result, Result]:
        derived: tuple[Result, Result] = jax.jvp(operations, primals, tangents)
        return derived

    made: Result = either(*arguments)
    return made


def _layout(
    rnn: ParameterRNN, state: BlockState, weights: Float[Array, " n"]
) -> tuple[list[Any], list[Any], list[Any]]:
    """Say which part of each argument and result a program has, and what forms results have."""
    from jax.experimental import pallas as pl

    count, hidden, width = state.hidden.shape
    message = hidden + (rnn.feature_width if rnn.extra_features else 0)
    directions = 1 if rnn.attended_direction is None else 2

    def rows(*lengths: int) -> Any:
        shape = (None, *lengths, SCALARS_AT_ONCE)
        return pl.BlockSpec(shape, lambda block, part: (block, *(0 for _ in lengths), part))

    def of_block(length: int) -> Any:
        return pl.BlockSpec((None, length), lambda block, _: (block, 0))

    def of_program(length: int) -> Any:
        return pl.BlockSpec((None, None, length), lambda block, part: (block, part, 0))

    def form(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((count, *shape), jnp.float32)

    def sums(length: int) -> jax.ShapeDtypeStruct:
        return form(width // SCALARS_AT_ONCE, length)

    of_state = [rows(hidden), rows(), rows(rnn.scales), rows(rnn.scales)]
    whole = pl.BlockSpec(weights.shape, lambda *_: (0,))
    in_specs = [whole, *of_state, rows(), rows(), of_block(3 * hidden), of_block(1)]
    out_specs = [*of_state, *[rows()] * directions, of_program(message), of_program(directions)]
    state_forms = [jax.ShapeDtypeStruct(part.shape, jnp.float32) for part in state]
    steps = [form(width)] * directions
    return in_specs, out_specs, [*state_forms, *steps, sums(message), sums(directions)]


# By name, where its numbers begin and their shape.
Places = dict[str, tuple[int, tuple[int, ...]]]


def _packed(rnn: ParameterRNN, first: Bool[Array, ""]) -> tuple[Float[Array, " n"], Places]:
    """Lay all weights out one after the other, so that a kernel has one argument for them."""
    named = {
        "gates": rnn.cell.gates.matrix,
        "gates_bias": rnn.cell.gates.bias,
        "candidate": rnn.cell.candidate.matrix,
        "candidate_bias": rnn.cell.candidate.bias,
        # The first step's averages are what is new.
        "keeps": 1 - first.astype(jnp.float32),
    }
    for name, direction in (
        ("direction", rnn.direction),
        ("attended", rnn.attended_direction),
    ):
        if direction is not None:
            named[name] = direction.weights
            if direction.shortcut is not None:
                named[f"{name}_shortcut"] = direction.shortcut
    for name, readout in (("input_decay", rnn.input_decay), ("scale_decay", rnn.scale_decay)):
        if readout is not None:
            named |= {name: readout.weights, f"{name}_bias": readout.bias}
    if (rates := rnn.learning_rates) is not None:
        named |= {
            "change": rates.change.weights,
            "change_bias": rates.change.bias,
            "momentum": jax.nn.sigmoid(rates.momentum_logit),
            "offset": rates.step_offset,
        }
    places, end = {}, 0
    for name, array in named.items():
        places[name] = (end, array.shape)
        end += array.size
    flat = jnp.concatenate([array.reshape(-1) for array in named.values()])
    return jnp.pad(flat, (0, -end % 16)), places


class _Weights(NamedTuple):
    """Weights in a kernel, read number by number, which all threads do at the same time."""

    ref: Any
    places: Places

    def __contains__(self, name: object) -> bool:
        return name in self.places

    def __call__(self, name: str, *index: int) -> Array:
        start, shape = self.places[name]
        number: Array = self.ref[start + (int(np.ravel_multi_index(index, shape)) if shape else 0)]
        return number

    def product(self, name: str, rows: Sequence[Row], column: tuple[int, ...] = ()) -> Row:
        """Multiply rows by a vector, or by a column of a matrix whose first rows are theirs."""
        return _sum([row * self(name, i, *column) for i, row in enumerate(rows)])


def _kernel(rnn: ParameterRNN, places: Places, *refs: Any) -> None:
    """Move the scalars of one program on by a step."""
    weights, refs = _Weights(refs[0], places), refs[1:]
    old, (gradient_ref, valid_ref, bias_ref, mean_ref), new = refs[:4], refs[4:8], refs[8:12]
    *step_refs, message_ref, square_ref = refs[12:]
    hidden, momenta, mean_squares = (_rows(old[place]) for place in (0, 2, 3))
    rate = old[1][:]

    momenta, mean_squares = _averages(rnn, weights, hidden, momenta, mean_squares, gradient_ref[:])
    scaled = [m * jax.lax.rsqrt(s + 1e-16) for m, s in zip(momenta, mean_squares, strict=True)]
    if rnn.squash:
        scaled = [_arsinh(row) for row in scaled]
    inputs = _inputs(rnn, scaled, mean_squares, rate - mean_ref[0], rate)
    hidden = _gru(weights, inputs, hidden, bias_ref)
    now, remembered, offset = _rates(rnn, weights, hidden, rate)
    for ref, rows in ((new[0], hidden), (new[2], momenta), (new[3], mean_squares)):
        for place, row in enumerate(rows):
            ref[place, :] = row
    new[1][:] = remembered
    valid = valid_ref[:] != 0
    limit = LARGEST_LOG_LEARNING_RATE
    step_rates = [jnp.clip(now + offset, -limit, limit), now]
    for place, name in enumerate(["direction", "attended"][: len(step_refs)]):
        direction = weights.product(name, hidden)
        if f"{name}_shortcut" in weights:
            direction = direction + weights.product(f"{name}_shortcut", scaled)
        step_refs[place][:] = jnp.exp(step_rates[place]) * direction
        square_ref[place] = _sum_of(direction * direction, valid)
    for place, row in enumerate([*hidden, *inputs] if rnn.extra_features else hidden):
        message_ref[place] = _sum_of(row, valid)


def _rates(
    rnn: ParameterRNN, weights: _Weights, hidden: Sequence[Row], rate: Row
) -> tuple[Row, Row, Row | Array]:
    """Return the log learning rate to use now, the one to remember, and what is added to steps'."""
    if rnn.learning_rates is None:
        return jnp.zeros_like(rate), rate, jnp.zeros_like(rate)
    moved = rate + weights.product("change", hidden) + weights("change_bias")
    now = jnp.clip(moved, -LARGEST_LOG_LEARNING_RATE, rnn.learning_rates.highest)
    momentum = weights("momentum")
    return now, momentum * rate + (1 - momentum) * now, weights("offset")


def _averages(
    rnn: ParameterRNN,
    weights: _Weights,
    hidden: Sequence[Row],
    momenta: Sequence[Row],
    mean_squares: Sequence[Row],
    gradient: Row,
) -> tuple[list[Row], list[Row]]:
    """Move the averages of the gradient and of its square on: eqs. (1) and (2)."""
    keeps = weights("keeps")

    def decays(name: str, constant: float, scales: int) -> list[Row]:
        decay = jnp.full_like(gradient, constant)
        if name in weights:
            decay = jax.nn.sigmoid(weights.product(name, hidden) + weights(f"{name}_bias"))
        if scales == 1:
            return [decay]
        logarithm = jnp.log(jnp.maximum(decay, 1e-12))
        return [jnp.exp(0.5**scale * logarithm) for scale in range(scales)]

    if rnn.scales == 1:
        momenta = [gradient]
    else:
        of_input = decays("input_decay", CONSTANT_INPUT_DECAY, rnn.scales)
        momenta = [
            _mixed(keeps * decay, old, gradient)
            for decay, old in zip(of_input, momenta, strict=True)
        ]
    per_scale = rnn.scales if rnn.scale_decays == "per_scale" else 1
    of_scale = decays("scale_decay", CONSTANT_SCALE_DECAY, per_scale)
    mean_squares = [
        _mixed(keeps * of_scale[min(scale, len(of_scale) - 1)], old, momentum * momentum + 1e-12)
        for scale, (old, momentum) in enumerate(zip(mean_squares, momenta, strict=True))
    ]
    return list(momenta), mean_squares


def _inputs(
    rnn: ParameterRNN,
    scaled: Sequence[Row],
    mean_squares: Sequence[Row],
    relative_rate: Row,
    rate: Row,
) -> list[Row]:
    """Put the inputs together in the order of `ParameterRNN`."""

    def magnitudes() -> list[Row]:
        logarithms = [jnp.log(row + 1e-16) for row in mean_squares]
        mean = _sum(logarithms) * (1 / len(logarithms))
        return [row - mean for row in logarithms]

    def extreme() -> Row:
        return jnp.maximum(rate, 0.0) - jnp.maximum(math.log(1e-6) - rate, 0.0)

    extra: dict[str, Callable[[], list[Row]]] = {
        "gradient_products": lambda: [one * other for one, other in itertools.pairwise(scaled)],
        "relative_magnitudes": magnitudes,
        "relative_learning_rate": lambda: [relative_rate],
        "extreme_indicator": lambda: [extreme()],
        "learning_rate": lambda: [rate - math.log(1e-3)],
    }
    return [*scaled, *(row for name in rnn.extra_features for row in extra[name]())]


def _gru(weights: _Weights, inputs: list[Row], hidden: list[Row], bias: Any) -> list[Row]:
    """Return the next hidden state, as `BiasGRU` does."""
    size = len(hidden)
    gates = [
        jax.nn.sigmoid(
            weights.product("gates", [*inputs, *hidden], (unit,))
            + (weights("gates_bias", unit) + bias[unit])
        )
        for unit in range(2 * size)
    ]
    kept = [gate * row for gate, row in zip(gates[:size], hidden, strict=True)]
    after = []
    for unit in range(size):
        candidate = jnp.tanh(
            weights.product("candidate", [*inputs, *kept], (unit,))
            + (weights("candidate_bias", unit) + bias[2 * size + unit])
        )
        after.append(_mixed(gates[size + unit], hidden[unit], candidate))
    return after


def _rows(ref: Any) -> list[Row]:
    return [ref[place, :] for place in range(ref.shape[0])]


def _sum(rows: Sequence[Row]) -> Row:
    return functools.reduce(jnp.add, rows)


def _sum_of(row: Row, valid: Array) -> Array:
    return jnp.where(valid, row, 0.0).sum()


def _mixed(kept: Row, old: Row, new: Row) -> Row:
    return kept * old + (1 - kept) * new


def _arsinh(x: Row) -> Row:
    """As `features.arsinh` has it."""
    size = jnp.abs(x)
    logarithm = jnp.log1p(size + size * (size / (1 + jnp.sqrt(size * size + 1))))
    return jnp.where(x < 0, -logarithm, logarithm)
