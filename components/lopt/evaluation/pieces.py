"""What a network says of more images than it can look at together."""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float

Network = Callable[[Float[Array, "height width channels"]], Float[Array, " classes"]]

PIXELS = 2**15


def logits_in_pieces(
    network: Network,
    images: Float[Array, "images height width channels"],
    at_least: int,
) -> Float[Array, "images classes"]:
    """Return the logits of all images, of which so many are looked at together.

    As many as have 32,768 pixels, and never less than `at_least`, the images of a minibatch.
    What a network computes on its way is hundreds of times as large as an image where it looks
    at patches of every pixel, and a sweep has dozens of networks at once: of 512 images of
    28 x 28 pixels that would be 20 gigabytes.

    **Example**

    ```python
    logits = logits_in_pieces(network, images, at_least=64)
    ```
    """
    height, width = images.shape[1:3]
    together = max(at_least, PIXELS // (height * width))
    if images.shape[0] <= together:
        return jax.vmap(network)(images)
    logits: Array = jax.lax.map(network, images, batch_size=together)
    return logits
