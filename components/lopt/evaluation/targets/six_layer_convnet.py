"""A convolutional network of six layers, for the paper's figure of seconds a step."""

from lopt.evaluation.image_network import ImageNetwork
from lopt.networks.convnet import six_layer_convnet

SIX_LAYERS = ImageNetwork("convnet-6", six_layer_convnet, smallest=8)
