"""What optimizers are trained on; DESIGN.md section 3."""

from lopt.problems.base import Problem as Problem
from lopt.problems.base import loss_and_gradient as loss_and_gradient
from lopt.problems.classifiers import FullyConnected as FullyConnected
from lopt.problems.classifiers import SoftmaxRegression as SoftmaxRegression
from lopt.problems.gradient_transforms import GradientNoise as GradientNoise
from lopt.problems.gradient_transforms import SparseGradient as SparseGradient
from lopt.problems.quadratics import Bowl as Bowl
from lopt.problems.quadratics import Quadratic as Quadratic
from lopt.problems.specs import SpecError as SpecError
from lopt.problems.specs import build as build
from lopt.problems.sums import Sum as Sum
from lopt.problems.transforms import LogObjective as LogObjective
from lopt.problems.transforms import Rescale as Rescale
from lopt.problems.two_dimensional import TwoDimensional as TwoDimensional
