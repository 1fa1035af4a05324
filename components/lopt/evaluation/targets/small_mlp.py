"""The smallest fully connected network: one hidden layer of 32 ReLU."""

import functools

from lopt.evaluation.image_network import ImageNetwork
from lopt.networks.initial import EQUINOX
from lopt.networks.mlp import image_mlp

SMALL = ImageNetwork("mlp", functools.partial(image_mlp, hidden=(32,), initialization=EQUINOX))
