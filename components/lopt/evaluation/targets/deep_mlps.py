"""Fully connected networks that are deep and narrow."""

import functools

from lopt.evaluation.image_network import ImageNetwork
from lopt.networks.mlp import image_mlp

DEEP = ImageNetwork("mlp-relu-6x32", functools.partial(image_mlp, hidden=(32,) * 6))
DEEP_SIGMOID = ImageNetwork(
    "mlp-sigmoid-3x32", functools.partial(image_mlp, hidden=(32,) * 3, activation="sigmoid")
)
