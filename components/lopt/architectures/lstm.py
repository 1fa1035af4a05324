"""The long short-term memory cell, features first as all cells here: `[features, n]`."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from lopt.architectures.cells import Affine
from lopt.written_once import computed_once


class LSTMState(NamedTuple):
    """What a cell remembers of every column; with a leading axis, of all blocks."""

    memory: Float[Array, "*blocks hidden n"]
    hidden: Float[Array, "*blocks hidden n"]


class LSTM(eqx.Module):
    """`c' = sigmoid(f + 1) c + sigmoid(i) tanh(j)` and `h' = sigmoid(o) tanh(c')`.

    `i`, `f`, `o` and `j` are, in this order, an affine map of the input above the old hidden
    state. The constant 1 makes the cell remember at the beginning, as in TensorFlow's and
    Sonnet's cells, which Wichrowska et al. 2017 and Andrychowicz et al. 2016 used. Hochreiter
    and Schmidhuber 1997; Gers et al. 2000 for `f`.

    **Example**

    ```python
    cell = LSTM(inputs=1, hidden=20, key=jax.random.key(0))
    zeros = jnp.zeros((20, 5))
    state = cell(jnp.ones((1, 5)), LSTMState(zeros, zeros))
    ```
    """

    gates: Affine

    def __init__(self, inputs: int, hidden: int, *, key: Key[Array, ""]):
        self.gates = Affine(inputs + hidden, 4 * hidden, key=key)

    def __call__(self, x: Float[Array, "inputs n"], state: LSTMState) -> LSTMState:
        # The bias is one more row of the matrix, so that its gradient comes with the matrix's.
        matrix = jnp.concatenate([self.gates.matrix, self.gates.bias[None]])
        ones = jnp.ones((1, x.shape[1]), x.dtype)
        before_gates = matrix.T @ jnp.concatenate([x, state.hidden, ones])
        return LSTMState(*_gated(before_gates, state.memory))


# Derivatives by hand, because what the way back is made of is worth computing once: both products
# that follow it, and all four parts of the first, read it again and again.
@jax.custom_vjp
def _gated(
    before_gates: Float[Array, "four_hidden n"], memory: Float[Array, "hidden n"]
) -> tuple[Float[Array, "hidden n"], Float[Array, "hidden n"]]:
    """Return the next memory and hidden state."""
    return _gated_forward(before_gates, memory)[0]


def _gated_forward(
    before_gates: Array, memory: Array
) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
    take, keep, show, candidate = jnp.split(before_gates, 4)
    take, keep, show = jax.nn.sigmoid(take), jax.nn.sigmoid(keep + 1), jax.nn.sigmoid(show)
    candidate = jnp.tanh(candidate)
    after = keep * memory + take * candidate
    shown = jnp.tanh(after)
    return (after, show * shown), (take, keep, show, candidate, memory, shown)


def _gated_backward(
    kept: tuple[Array, ...], cotangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    (take, keep, show, candidate, memory, shown), (of_after, of_hidden) = kept, cotangents
    of_memory = computed_once(of_after + of_hidden * show * (1 - jnp.square(shown)))
    parts = (
        of_memory * candidate * take * (1 - take),
        of_memory * memory * keep * (1 - keep),
        of_hidden * shown * show * (1 - show),
        of_memory * take * (1 - jnp.square(candidate)),
    )
    # Part by part: the loop of what comes of several arrays put together is not vectorised.
    return jnp.concatenate([computed_once(part) for part in parts]), of_memory * keep


_gated.defvjp(_gated_forward, _gated_backward)
