"""Softmax regression on images: the one network whose loss is convex."""

from lopt.evaluation.image_network import ImageNetwork
from lopt.networks.softmax_regression import SoftmaxRegression

SOFTMAX = ImageNetwork("softmax", SoftmaxRegression)
