"""Softmax regression, the smallest network: its loss is convex."""

import math

import equinox as eqx
from jaxtyping import Array, Float, Key

from lopt.problems.layers import init_layers


class SoftmaxRegression(eqx.Module):
    """One affine map from the pixels to the logits, which begins as in the paper's code.

    Weights and biases are Gaussian with standard deviation 1.2 over the root of their first
    axis (PAPER.md section 5.2).

    **Example**

    ```python
    logits = SoftmaxRegression((8, 8, 1), classes=10, key=jax.random.key(0))(image)
    ```
    """

    weights: Float[Array, "pixels classes"]
    bias: Float[Array, " classes"]

    def __init__(self, shape: tuple[int, int, int], classes: int, *, key: Key[Array, ""]) -> None:
        ((self.weights, self.bias),) = init_layers(key, (math.prod(shape), classes))

    def __call__(self, image: Float[Array, "height width channels"]) -> Float[Array, " classes"]:
        return image.reshape(-1) @ self.weights + self.bias
