"""The affine map and the gated cell that architectures share, features first.

Features are rows and the scalars (or tensors) they belong to are columns: `[features, n]`.
On a CPU this layout about halves the time of a step at large `n`, because every feature is
one contiguous vector.
"""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


def scaled_normal(key: Key[Array, ""], fan_in: int, fan_out: int, scale: float = 0.5) -> Array:
    """Draw a float32 matrix `[fan_in, fan_out]` with standard deviation scale/sqrt(fan_in).

    The initialisation of all affine maps of the released code (PAPER.md section 1.2).

    **Example**

    ```python
    matrix = scaled_normal(jax.random.key(0), fan_in=12, fan_out=30)
    ```
    """
    deviation = scale / math.sqrt(fan_in)
    return deviation * jax.random.normal(key, (fan_in, fan_out), jnp.float32)


class Affine(eqx.Module):
    """A matrix and a bias: `[inputs, n] -> [outputs, n]`."""

    matrix: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        bias: float = 0.0,
        key: Key[Array, ""],
        draw: Callable[[Key[Array, ""], int, int], Array] = scaled_normal,
    ):
        self.matrix = draw(key, inputs, outputs)
        self.bias = jnp.full((outputs,), bias, jnp.float32)

    def __call__(self, x: Float[Array, "inputs n"]) -> Float[Array, "outputs n"]:
        return self.matrix.T @ x + self.bias[:, None]


class BiasGRU(eqx.Module):
    """A gated recurrent unit whose pre-activations also take a bias from the level above.

    `h' = u h + (1 - u) c` with `r = sigmoid(W_r [x, h] + b_r)`, `u` likewise and
    `c = tanh(W_c [x, r h] + b_c)`: the update gate *keeps* the old state, and the reset gate
    acts before the matrix product. Released code's `BiasGRUCell` (PAPER.md section 1.2);
    Wichrowska et al. 2017, eqs. (10)-(12).

    **Example**

    ```python
    cell = BiasGRU(inputs=12, hidden=10, key=jax.random.key(0))
    h = cell(jnp.zeros((12, 5)), jnp.zeros((10, 5)))
    ```
    """

    gates: Affine
    candidate: Affine

    def __init__(self, inputs: int, hidden: int, *, key: Key[Array, ""]):
        gates_key, candidate_key = jax.random.split(key)
        self.gates = Affine(inputs + hidden, 2 * hidden, bias=2.2, key=gates_key)
        self.candidate = Affine(inputs + hidden, hidden, key=candidate_key)

    def __call__(
        self,
        x: Float[Array, "inputs n"],
        h: Float[Array, "hidden n"],
        bias: Float[Array, "three_hidden m"] | None = None,
    ) -> Float[Array, "hidden n"]:
        """Return the next hidden state; `bias` has one column for each of `h`, or one for all."""
        inputs, hidden = x.shape[0], h.shape[0]
        # One product serves the input of gates and candidate.
        from_x = jnp.concatenate([self.gates.matrix[:inputs], self.candidate.matrix[:inputs]], 1)
        constant = jnp.concatenate([self.gates.bias, self.candidate.bias])[:, None]
        pre = from_x.T @ x + (constant if bias is None else constant + bias)
        for_gates, for_candidate = jnp.split(pre, [2 * hidden])
        kept, gates = _gated(for_gates + self.gates.matrix[inputs:].T @ h, h)
        return _next_hidden(gates, h, for_candidate + self.candidate.matrix[inputs:].T @ kept)


# Derivatives by hand, so that an unroll keeps three numbers a unit and step and not seven. The
# gates stay one array from the first to the second, or what of them both keep would be kept twice.
@jax.custom_vjp
def _gated(
    before_gates: Float[Array, "two_hidden n"], h: Float[Array, "hidden n"]
) -> tuple[Float[Array, "hidden n"], Float[Array, "two_hidden n"]]:
    """Return what the reset gate lets through of the old state, and both gates."""
    return _gated_forward(before_gates, h)[0]


def _gated_forward(
    before_gates: Array, h: Array
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    gates = jax.nn.sigmoid(before_gates)
    return (gates[: h.shape[0]] * h, gates), (gates, h)


def _gated_backward(
    kept: tuple[Array, Array], cotangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    (gates, h), (of_passed, of_gates) = kept, cotangents
    hidden = h.shape[0]
    of_both = jnp.concatenate([of_gates[:hidden] + of_passed * h, of_gates[hidden:]])
    return gates * (1 - gates) * of_both, gates[:hidden] * of_passed


_gated.defvjp(_gated_forward, _gated_backward)


@jax.custom_vjp
def _next_hidden(
    gates: Float[Array, "two_hidden n"],
    h: Float[Array, "hidden n"],
    before_tanh: Float[Array, "hidden n"],
) -> Float[Array, "hidden n"]:
    """Mix the old state with the candidate, by the second half of the gates."""
    return _next_hidden_forward(gates, h, before_tanh)[0]


def _next_hidden_forward(
    gates: Array, h: Array, before_tanh: Array
) -> tuple[Array, tuple[Array, Array, Array]]:
    update, candidate = gates[h.shape[0] :], jnp.tanh(before_tanh)
    return update * h + (1 - update) * candidate, (gates, h, candidate)


def _next_hidden_backward(
    kept: tuple[Array, Array, Array], cotangent: Array
) -> tuple[Array, Array, Array]:
    gates, h, candidate = kept
    update = gates[h.shape[0] :]
    of_update = jnp.concatenate([jnp.zeros_like(h), (h - candidate) * cotangent])
    of_candidate = (1 - update) * cotangent * (1 - jnp.square(candidate))
    return of_update, update * cotangent, of_candidate


_next_hidden.defvjp(_next_hidden_forward, _next_hidden_backward)


def read_off(
    h: Float[Array, "hidden n"], *weights: Float[Array, " hidden"]
) -> list[Float[Array, " n"]]:
    """Multiply every column by each row of weights, by one product for all rows.

    By one row alone it would be no product to the compiler but sums of multiples, and what
    the cotangent comes from would be computed anew for every hidden unit.

    **Example**

    ```python
    direction, change = read_off(jnp.ones((10, 5)), jnp.ones(10), jnp.zeros(10))
    ```
    """
    return list(jnp.stack(weights) @ h)


class Readout(eqx.Module):
    """What one number of every column of the hidden state is made with: `weights @ h + bias`."""

    weights: Float[Array, " hidden"]
    bias: Float[Array, ""]

    def __init__(self, weights: Float[Array, " hidden"], bias: float):
        self.weights = weights
        self.bias = jnp.asarray(bias, jnp.float32)
