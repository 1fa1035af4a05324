"""A wide network of later work (Metz et al. 2022, ImageMLP_FashionMnist_Relu128x128)."""

import functools

from lopt.evaluation.image_network import ImageNetwork
from lopt.networks.mlp import image_mlp

WIDE = ImageNetwork("mlp-relu-128x128", functools.partial(image_mlp, hidden=(128, 128)))
