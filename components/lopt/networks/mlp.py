"""Fully connected networks."""

import math

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from lopt.networks.initial import EQUINOX, linear
from lopt.problems.activations import FUNCTIONS
from lopt.problems.arguments import one_of


class MLP(eqx.Module):
    """A fully connected network with an activation function between its layers.

    `widths` are those of the pixels, the hidden layers and the classes, `activation` is one of
    `lopt.problems.activations.FUNCTIONS` and `initialization` what `linear` knows. The MNIST
    networks of Wichrowska et al. 2017's code (PAPER.md section 6) are 784-64-10 with "sigmoid"
    or "relu", begun by "he".

    Raises `ValueError` for names that are unknown.

    **Example**

    ```python
    logits = MLP((64, 32, 10), activation="sigmoid", key=jax.random.key(0))(image)
    ```
    """

    layers: tuple[eqx.nn.Linear, ...]
    activation: str = eqx.field(static=True)

    def __init__(
        self,
        widths: tuple[int, ...],
        *,
        activation: str = "relu",
        initialization: str = EQUINOX,
        key: Key[Array, ""],
    ) -> None:
        keys = jax.random.split(key, len(widths) - 1)
        pairs = zip(widths[:-1], widths[1:], keys, strict=True)
        self.layers = tuple(
            linear(fan_in, out, initialization, key=layer_key) for fan_in, out, layer_key in pairs
        )
        self.activation = one_of("activation", activation, list(FUNCTIONS))

    def __call__(self, image: Float[Array, "height width channels"]) -> Float[Array, " classes"]:
        units = image.reshape(-1)
        for layer in self.layers[:-1]:
            units = FUNCTIONS[self.activation](layer(units))
        return self.layers[-1](units)


def image_mlp(
    shape: tuple[int, int, int],
    classes: int,
    *,
    hidden: tuple[int, ...],
    activation: str = "relu",
    initialization: str = "he",
    key: Key[Array, ""],
) -> MLP:
    """Return a network with these hidden layers for images of this shape.

    **Example**

    ```python
    network = image_mlp((8, 8, 1), 10, hidden=(32, 32), key=jax.random.key(0))
    ```
    """
    widths = (math.prod(shape), *hidden, classes)
    return MLP(widths, activation=activation, initialization=initialization, key=key)
