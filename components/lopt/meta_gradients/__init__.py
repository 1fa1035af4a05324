"""Estimators of the meta-gradient, one file each."""

from lopt.meta_gradients.base import Estimate as Estimate
from lopt.meta_gradients.base import MetaGradient as MetaGradient
from lopt.meta_gradients.lengths import TrajectoryLengths as TrajectoryLengths
from lopt.meta_gradients.truncated_backprop import TruncatedBackprop as TruncatedBackprop
