"""What earlier learned optimizers were meta-trained on (Andrychowicz et al. 2016, section 3.2)."""

import functools

from lopt.evaluation.image_network import ImageNetwork
from lopt.networks.mlp import image_mlp

ANDRYCHOWICZ = ImageNetwork(
    "mlp-sigmoid-20", functools.partial(image_mlp, hidden=(20,), activation="sigmoid")
)
