"""Transformers that read images row by row."""

from lopt.evaluation.image_network import ImageNetwork
from lopt.networks.transformer import Transformer

ROWS = ImageNetwork("transformer", Transformer, smallest=4)
