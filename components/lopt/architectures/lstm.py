"""The long short-term memory cell, features first as all cells here: `[features, n]`."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from lopt.architectures.cells import Affine


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
        pre = self.gates(jnp.concatenate([x, state.hidden]))
        take, keep, show, candidate = jnp.split(pre, 4)
        memory = jax.nn.sigmoid(keep + 1) * state.memory + jax.nn.sigmoid(take) * jnp.tanh(
            candidate
        )
        return LSTMState(memory, jax.nn.sigmoid(show) * jnp.tanh(memory))
