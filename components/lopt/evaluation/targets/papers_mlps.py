"""The paper's fully connected networks, on MNIST 784-64-10 (PAPER.md section 6)."""

import functools

from lopt.evaluation.image_network import ImageNetwork
from lopt.networks.mlp import image_mlp

RELU = ImageNetwork("mlp-relu", functools.partial(image_mlp, hidden=(64,)))
SIGMOID = ImageNetwork(
    "mlp-sigmoid", functools.partial(image_mlp, hidden=(64,), activation="sigmoid")
)
