"""Convolutional networks on images, of two to six layers."""

import functools

from jaxtyping import Array, Key

from lopt.evaluation.image_network import ImageNetwork, Shape
from lopt.networks.convnet import ConvNet, cifar_convnet, papers_convnet, six_layer_convnet
from lopt.networks.norm_convnet import NormConvNet


def two_layers(shape: Shape, classes: int, *, key: Key[Array, ""]) -> ConvNet:
    """Return convolutions of 8 and 16 filters that halve height and width.

    **Example**

    ```python
    network = two_layers((8, 8, 1), 10, key=jax.random.key(0))
    ```
    """
    return ConvNet(shape, filters=(8, 16), classes=classes, key=key)


def two_normalized_layers(shape: Shape, classes: int, *, key: Key[Array, ""]) -> NormConvNet:
    """Return convolutions of 16 and 32 filters with batch normalization.

    **Example**

    ```python
    network = two_normalized_layers((8, 8, 1), 10, key=jax.random.key(0))
    ```
    """
    return NormConvNet(shape, filters=(16, 32), classes=classes, key=key)


TWO_LAYERS = ImageNetwork("convnet", two_layers)
SIX_LAYERS = ImageNetwork("convnet-6", six_layer_convnet, smallest=8)
NORMALIZED = ImageNetwork("convnet-batchnorm", two_normalized_layers, remembers=True)

# On MNIST the paper's, of 64,402 params (PAPER.md section 6).
PAPERS_RELU = ImageNetwork("papers-convnet-relu", papers_convnet, smallest=5)
PAPERS_SIGMOID = ImageNetwork(
    "papers-convnet-sigmoid",
    functools.partial(papers_convnet, activation="sigmoid"),
    smallest=5,
)

CIFAR = ImageNetwork("convnet-32x64x64", cifar_convnet, smallest=16, channels=3)
