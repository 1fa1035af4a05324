"""Inception V3, which the paper trains on ImageNet, on images that fit into memory."""

from jaxtyping import Array, Key

from lopt.evaluation.image_network import ImageNetwork, Shape
from lopt.networks import inception


def inception_v3(shape: Shape, classes: int, *, key: Key[Array, ""]) -> inception.InceptionV3:
    """Return Inception V3 for as many channels and classes as there are.

    **Example**

    ```python
    network = inception_v3((75, 75, 3), 10, key=jax.random.key(0))
    ```
    """
    return inception.InceptionV3(classes, channels=shape[-1], key=key)


INCEPTION = ImageNetwork("inception-v3", inception_v3, smallest=inception.SMALLEST, remembers=True)
