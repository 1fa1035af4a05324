"""What optimizers are trained on; DESIGN.md section 3."""

from lopt.problems.bad_initialization import BadInitialization as BadInitialization
from lopt.problems.base import Problem as Problem
from lopt.problems.base import loss_and_gradient as loss_and_gradient
from lopt.problems.batch_size import BatchSize as BatchSize
from lopt.problems.classifiers import FullyConnected as FullyConnected
from lopt.problems.classifiers import SoftmaxRegression as SoftmaxRegression
from lopt.problems.conditions import Conditions as Conditions
from lopt.problems.gradient_transforms import GradientNoise as GradientNoise
from lopt.problems.gradient_transforms import SparseGradient as SparseGradient
from lopt.problems.image_autoencoder import ImageAutoencoder as ImageAutoencoder
from lopt.problems.image_convnet import ImageConvNet as ImageConvNet
from lopt.problems.image_mlp import ImageMLP as ImageMLP
from lopt.problems.images import LabelledImages as LabelledImages
from lopt.problems.images import labelled_images as labelled_images
from lopt.problems.labels import LabelNoise as LabelNoise
from lopt.problems.language_model import TransformerLanguageModel as TransformerLanguageModel
from lopt.problems.matmul import MatMulAlgorithm as MatMulAlgorithm
from lopt.problems.minibatch_quadratics import ProjectionQuadratic as ProjectionQuadratic
from lopt.problems.minibatch_quadratics import SumOfQuadratics as SumOfQuadratics
from lopt.problems.norms import Norm as Norm
from lopt.problems.outward_snake import OutwardSnake as OutwardSnake
from lopt.problems.quadratics import Bowl as Bowl
from lopt.problems.quadratics import IsotropicQuadratic as IsotropicQuadratic
from lopt.problems.quadratics import Quadratic as Quadratic
from lopt.problems.quadratics import Saddle as Saddle
from lopt.problems.recurrent_network import RecurrentNetwork as RecurrentNetwork
from lopt.problems.rescale_each import RescaleEach as RescaleEach
from lopt.problems.rotation import RandomRotation as RandomRotation
from lopt.problems.slow import DependencyChain as DependencyChain
from lopt.problems.slow import MinMaxWell as MinMaxWell
from lopt.problems.sparse_classifiers import (
    OneHotSparseSoftmaxRegression as OneHotSparseSoftmaxRegression,
)
from lopt.problems.sparse_classifiers import SparseSoftmaxRegression as SparseSoftmaxRegression
from lopt.problems.specs import SpecError as SpecError
from lopt.problems.specs import build as build
from lopt.problems.sums import Sum as Sum
from lopt.problems.transforms import LogObjective as LogObjective
from lopt.problems.transforms import Rescale as Rescale
from lopt.problems.two_dimensional import TwoDimensional as TwoDimensional
