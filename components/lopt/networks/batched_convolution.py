"""Convolutions and pooling of whole batches, by the device's own operations; NHWC.

Of one network at a time: `vmap` over networks makes them slow on a CPU (LOG.md).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Padding = str | int


class Conv(eqx.Module):
    """A convolution with a kernel of 0, for `with_he_kernels` to fill.

    `padding` is "SAME", "VALID" or a number of zeros beyond each edge. A bias begins at 0.

    **Example**

    ```python
    halved = Conv((3, 3), 64, 128, stride=2, padding=1)
    ```
    """

    kernel: Float[Array, "rows columns channels filters"]
    bias: Float[Array, " filters"] | None
    stride: int = eqx.field(static=True)
    padding: Padding = eqx.field(static=True)

    def __init__(
        self,
        window: tuple[int, int],
        channels: int,
        filters: int,
        *,
        stride: int = 1,
        padding: Padding = "SAME",
        use_bias: bool = False,
    ) -> None:
        self.kernel = jnp.zeros((*window, channels, filters), jnp.float32)
        self.bias = jnp.zeros(filters, jnp.float32) if use_bias else None
        self.stride = stride
        self.padding = padding

    def __call__(
        self, images: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch rows columns filters"]:
        edges = [(self.padding,) * 2] * 2 if isinstance(self.padding, int) else self.padding
        filtered = jax.lax.conv_general_dilated(
            images,
            self.kernel,
            (self.stride, self.stride),
            edges,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return filtered if self.bias is None else filtered + self.bias[None, None, None, :]


def max_pooled(
    images: Float[Array, "batch height width filters"], padding: Padding = "VALID"
) -> Float[Array, "batch rows columns filters"]:
    """Return the maxima over windows of 3 x 3 pixels, around every other one.

    **Example**

    ```python
    quarter = max_pooled(images, padding=1)
    ```
    """
    return _pooled(images, jax.lax.max, -jnp.inf, 2, padding)


def average_pooled(
    images: Float[Array, "batch height width filters"],
) -> Float[Array, "batch height width filters"]:
    """Return the means over the windows of 3 x 3 pixels; nothing beyond the edge takes part.

    **Example**

    ```python
    smooth = average_pooled(images)
    ```
    """
    sums = _pooled(images, jax.lax.add, 0.0, 1, "SAME")
    return sums / _pooled(jnp.ones_like(images[:1, :, :, :1]), jax.lax.add, 0.0, 1, "SAME")


def refuse_small(
    name: str, images: Float[Array, "batch height width channels"], least: int
) -> None:
    """Raise `ValueError` for images of less than `least` pixels in height or width.

    **Example**

    ```python
    refuse_small("Inception V3", images, least=75)
    ```
    """
    height, width = images.shape[1:3]
    if min(height, width) < least:
        raise ValueError(
            f"{name} halves height and width so often that it needs images of at least {least} x "
            f"{least} pixels; received {height} x {width}. Enlarge them or take another network."
        )


def _pooled(
    images: Float[Array, "batch height width filters"],
    reduce: Callable[[Array, Array], Array],
    start: float,
    stride: int,
    padding: Padding,
) -> Float[Array, "batch rows columns filters"]:
    beyond = padding if isinstance(padding, str) else ((0, 0), *[(padding, padding)] * 2, (0, 0))
    pooled: Array = jax.lax.reduce_window(
        images, start, reduce, (1, 3, 3, 1), (1, stride, stride, 1), beyond
    )
    return pooled
