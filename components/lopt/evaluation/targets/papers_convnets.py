"""The paper's convolutional networks, on MNIST of 64,402 params (PAPER.md section 6)."""

import functools

from lopt.evaluation.image_network import ImageNetwork
from lopt.networks.convnet import papers_convnet

RELU = ImageNetwork("papers-convnet-relu", papers_convnet, smallest=5)
SIGMOID = ImageNetwork(
    "papers-convnet-sigmoid",
    functools.partial(papers_convnet, activation="sigmoid"),
    smallest=5,
)
