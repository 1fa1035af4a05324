"""Small networks to be trained by an optimizer: Equinox modules, all of whose leaves are arrays.

So that a network is its own params, for `jax.grad` and for any optax transformation.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


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
    """Convolutions of 3 x 3 pixels, each followed by a 2 x 2 average, and a linear read-out.

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
        pixels = (height >> len(filters)) * (width >> len(filters))
        self.readout = eqx.nn.Linear(pixels * filters[-1], classes, key=keys[-1])

    def __call__(self, image: Float[Array, "height width channels"]) -> Float[Array, " classes"]:
        for convolution in self.convolutions:
            image = _halve(jax.nn.relu(convolution(image)))
        return self.readout(image.reshape(-1))


class Convolution(eqx.Module):
    """A 3 x 3 convolution with zero padding, as one matrix product over the nine shifts.

    Under `vmap` over params XLA makes a grouped convolution of `lax.conv`, which its CPU
    compiler does not speed up; matrix products stay matrix products.

    **Example**

    ```python
    features = Convolution(1, 8, key=jax.random.key(0))(image)  # height, width, 8
    ```
    """

    linear: eqx.nn.Linear

    def __init__(self, channels: int, filters: int, *, key: Key[Array, ""]) -> None:
        self.linear = eqx.nn.Linear(9 * channels, filters, key=key)

    def __call__(
        self, image: Float[Array, "height width channels"]
    ) -> Float[Array, "height width filters"]:
        height, width, _ = image.shape
        padded = jnp.pad(image, ((1, 1), (1, 1), (0, 0)))
        shifts = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
        patches = jnp.concatenate(shifts, axis=-1)
        return jax.vmap(jax.vmap(self.linear))(patches)


def _halve(image: Float[Array, "height width channels"]) -> Float[Array, "h w channels"]:
    height, width, channels = image.shape
    return image.reshape(height // 2, 2, width // 2, 2, channels).mean((1, 3))
