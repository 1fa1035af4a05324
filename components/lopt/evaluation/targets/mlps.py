"""Fully connected networks on images, of several widths and depths."""

import functools
import math

from jaxtyping import Array, Key

from lopt.evaluation.image_network import ImageNetwork, Shape
from lopt.networks.initial import EQUINOX
from lopt.networks.mlp import MLP


def mlp(
    shape: Shape,
    classes: int,
    *,
    hidden: tuple[int, ...],
    activation: str = "relu",
    initialization: str = "he",
    key: Key[Array, ""],
) -> MLP:
    """Return a network with these hidden layers.

    **Example**

    ```python
    network = mlp((8, 8, 1), 10, hidden=(32, 32), key=jax.random.key(0))
    ```
    """
    widths = (math.prod(shape), *hidden, classes)
    return MLP(widths, activation=activation, initialization=initialization, key=key)


SMALL = ImageNetwork("mlp", functools.partial(mlp, hidden=(32,), initialization=EQUINOX))

# On MNIST the paper's 784-64-10 (PAPER.md section 6).
RELU = ImageNetwork("mlp-relu", functools.partial(mlp, hidden=(64,)))
SIGMOID = ImageNetwork("mlp-sigmoid", functools.partial(mlp, hidden=(64,), activation="sigmoid"))

# What earlier learned optimizers were meta-trained on (Andrychowicz et al. 2016, section 3.2).
ANDRYCHOWICZ = ImageNetwork(
    "mlp-sigmoid-20", functools.partial(mlp, hidden=(20,), activation="sigmoid")
)

# Later work has it on Fashion-MNIST (Metz et al. 2022, ImageMLP_FashionMnist_Relu128x128).
WIDE = ImageNetwork("mlp-relu-128x128", functools.partial(mlp, hidden=(128, 128)))
DEEP = ImageNetwork("mlp-relu-6x32", functools.partial(mlp, hidden=(32,) * 6))
DEEP_SIGMOID = ImageNetwork(
    "mlp-sigmoid-3x32", functools.partial(mlp, hidden=(32,) * 3, activation="sigmoid")
)
