"""A convolutional network of two layers that halve height and width."""

from jaxtyping import Array, Key

from lopt.evaluation.image_network import ImageNetwork, Shape
from lopt.networks.convnet import ConvNet


def two_layers(shape: Shape, classes: int, *, key: Key[Array, ""]) -> ConvNet:
    """Return convolutions of 8 and 16 filters that halve height and width.

    **Example**

    ```python
    network = two_layers((8, 8, 1), 10, key=jax.random.key(0))
    ```
    """
    return ConvNet(shape, filters=(8, 16), classes=classes, key=key)


TWO_LAYERS = ImageNetwork("convnet", two_layers)
