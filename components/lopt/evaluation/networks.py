"""Small networks to be trained by an optimizer: Equinox modules, all of whose leaves are arrays.

So that a network is its own params, for `jax.grad` and for any optax transformation.
"""

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from lopt.problems.convolutions import patches


class MLP(eqx.Module):
    """A fully connected network with rectified linear units between its layers.

    **Example**

    ```python
    logits = MLP((64, 32, 10), key=jax.random.key(0))(image)
    ```
    """

    layers: tuple[eqx.nn.Linear, ...]

    def __init__(self, widths: tuple[int, ...], *, key: Key[Array, ""]) -> None:
        keys = jax.random.split(key, len(widths) - 1)
        pairs = zip(widths[:-1], widths[1:], keys, strict=True)
        self.layers = tuple(eqx.nn.Linear(fan_in, out, key=k) for fan_in, out, k in pairs)

    def __call__(self, image: Float[Array, "height width channels"]) -> Float[Array, " classes"]:
        activation = image.reshape(-1)
        for layer in self.layers[:-1]:
            activation = jax.nn.relu(layer(activation))
        return self.layers[-1](activation)


class ConvNet(eqx.Module):
    """Convolutions of 3 x 3 pixels that halve height and width, and a linear read-out.

    **Example**

    ```python
    logits = ConvNet((8, 8, 1), filters=(8, 16), classes=10, key=jax.random.key(0))(image)
    ```
    """

    convolutions: tuple["Convolution", ...]
    readout: eqx.nn.Linear

    def __init__(
        self,
        shape: tuple[int, int, int],
        filters: tuple[int, ...],
        classes: int,
        *,
        key: Key[Array, ""],
    ) -> None:
        height, width, channels = shape
        keys = jax.random.split(key, len(filters) + 1)
        pairs = zip((channels, *filters[:-1]), filters, keys[:-1], strict=True)
        self.convolutions = tuple(Convolution(fan_in, out, key=k) for fan_in, out, k in pairs)
        for _ in filters:
            height, width = -(-height // 2), -(-width // 2)
        self.readout = eqx.nn.Linear(height * width * filters[-1], classes, key=keys[-1])

    def __call__(self, image: Float[Array, "height width channels"]) -> Float[Array, " classes"]:
        for convolution in self.convolutions:
            image = jax.nn.relu(convolution(image))
        return self.readout(image.reshape(-1))


class Convolution(eqx.Module):
    """A 3 x 3 convolution with stride 2 and zero padding, as one matrix product of patches.

    **Example**

    ```python
    features = Convolution(1, 8, key=jax.random.key(0))(image)  # half height and width, 8
    ```
    """

    linear: eqx.nn.Linear

    def __init__(self, channels: int, filters: int, *, key: Key[Array, ""]) -> None:
        self.linear = eqx.nn.Linear(9 * channels, filters, key=key)

    def __call__(
        self, image: Float[Array, "height width channels"]
    ) -> Float[Array, "half_height half_width filters"]:
        seen = patches(image, window=3, stride=2)
        filtered = jax.vmap(self.linear)(seen.reshape(-1, seen.shape[-1]))
        return filtered.reshape(*seen.shape[:2], -1)
