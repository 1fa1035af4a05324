"""An MLP of few units that runs for every scalar of the params."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


class Layer(eqx.Module):
    """A matrix and a bias: `[inputs, n] -> [outputs, n]`."""

    matrix: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]

    def __init__(self, inputs: int, outputs: int, *, key: Key[Array, ""]):
        normal = jax.random.truncated_normal(key, -2.0, 2.0, (inputs, outputs), jnp.float32)
        self.matrix = normal / math.sqrt(inputs)
        self.bias = jnp.zeros((outputs,), jnp.float32)


class ScalarMLP(eqx.Module):
    """Linear layers with relus between them.

    Matrices are drawn from a normal distribution of deviation 1/sqrt(fan_in), cut at two
    deviations; biases are zero. As in the published code of Metz et al. 2022,
    https://arxiv.org/abs/2203.11860.

    **Example**

    ```python
    mlp = ScalarMLP([39, 4, 4, 2], key=jax.random.key(0))
    outputs = mlp.after_first(mlp.first.matrix.T @ jnp.ones((39, 5)))  # [2, 5]
    ```
    """

    first: Layer
    others: tuple[Layer, ...]

    def __init__(self, widths: Sequence[int], *, key: Key[Array, ""]):
        keys = jax.random.split(key, len(widths) - 1)
        pairs = zip(widths[:-1], widths[1:], keys, strict=True)
        self.first, *others = (Layer(inputs, outputs, key=k) for inputs, outputs, k in pairs)
        self.others = tuple(others)

    def after_first(self, hidden: Float[Array, "hidden n"]) -> Float[Array, "outputs n"]:
        """Go on after the first layer by matrix products."""
        for layer in self.others:
            hidden = layer.matrix.T @ jax.nn.relu(hidden) + layer.bias[:, None]
        return hidden

    def after_first_fused(self, hidden: Sequence[Float[Array, "*shape"]]) -> list[Array]:
        """Go on after the first layer by arithmetic that compilers fuse into one loop."""
        for layer in self.others:
            active = [jax.nn.relu(unit) for unit in hidden]
            hidden = fused_product(layer.matrix, active, jnp.unstack(layer.bias))
        return list(hidden)


def fused_product(
    matrix: Float[Array, "inputs outputs"],
    inputs: Sequence[Float[Array, "*shape"]],
    outputs: Sequence[Float[Array, "..."]],
) -> list[Array]:
    """Add the inputs times the matrix to the outputs, number by number.

    On a CPU this takes a fifth of the time of a matrix product at a width of four, since no
    input has to be written to memory; it takes longer to compile.

    **Example**

    ```python
    fused_product(jnp.ones((2, 1)), [jnp.ones(5), jnp.ones(5)], [jnp.zeros(5)])  # [2, ...]
    ```
    """
    sums = list(outputs)
    for weights, one_input in zip(jnp.unstack(matrix), inputs, strict=True):
        for unit, weight in enumerate(jnp.unstack(weights)):
            sums[unit] = sums[unit] + weight * one_input
    return sums
