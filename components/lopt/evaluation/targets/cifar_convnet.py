"""A convolutional network of later work for CIFAR-10 (Conv_Cifar10_32x64x64)."""

from lopt.evaluation.image_network import ImageNetwork
from lopt.networks.convnet import cifar_convnet

CIFAR = ImageNetwork("convnet-32x64x64", cifar_convnet, smallest=16, channels=3)
