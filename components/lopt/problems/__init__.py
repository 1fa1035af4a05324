from lopt.problems.base import Problem as Problem
from lopt.problems.base import loss_and_gradient as loss_and_gradient
