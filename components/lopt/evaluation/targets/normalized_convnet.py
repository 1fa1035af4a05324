"""A convolutional network of two layers with batch normalization."""

from jaxtyping import Array, Key

from lopt.evaluation.image_network import ImageNetwork, Shape
from lopt.networks.norm_convnet import NormConvNet


def two_normalized_layers(shape: Shape, classes: int, *, key: Key[Array, ""]) -> NormConvNet:
    """Return convolutions of 16 and 32 filters with batch normalization.

    **Example**

    ```python
    network = two_normalized_layers((8, 8, 1), 10, key=jax.random.key(0))
    ```
    """
    return NormConvNet(shape, filters=(16, 32), classes=classes, key=key)


NORMALIZED = ImageNetwork("convnet-batchnorm", two_normalized_layers, remembers=True)
