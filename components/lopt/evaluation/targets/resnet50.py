"""ResNet V2-50, which the paper trains on ImageNet, on images that fit into memory."""

from jaxtyping import Array, Key

from lopt.evaluation.image_network import ImageNetwork, Shape
from lopt.networks import resnet


def resnet50(shape: Shape, classes: int, *, key: Key[Array, ""]) -> resnet.ResNetV2:
    """Return ResNet V2-50 for as many channels and classes as there are.

    **Example**

    ```python
    network = resnet50((32, 32, 3), 10, key=jax.random.key(0))
    ```
    """
    return resnet.resnet50(classes, channels=shape[-1], key=key)


RESNET = ImageNetwork("resnet50", resnet50, smallest=resnet.SMALLEST, remembers=True)
