"""Estimators of the meta-gradient, one file each, and what they are made of."""

from lopt.meta_gradients.base import Estimate as Estimate
from lopt.meta_gradients.base import Faults as Faults
from lopt.meta_gradients.base import MetaGradient as MetaGradient
from lopt.meta_gradients.es_and_backprop import ESAndBackprop as ESAndBackprop
from lopt.meta_gradients.full_es import FullES as FullES
from lopt.meta_gradients.imitation import Imitation as Imitation
from lopt.meta_gradients.lengths import ExponentialLengths as ExponentialLengths
from lopt.meta_gradients.lengths import GrowingLengths as GrowingLengths
from lopt.meta_gradients.lengths import LogUniformLengths as LogUniformLengths
from lopt.meta_gradients.lengths import TrajectoryLengths as TrajectoryLengths
from lopt.meta_gradients.noise_reuse_es import NoiseReuseES as NoiseReuseES
from lopt.meta_gradients.persistent_es import PersistentES as PersistentES
from lopt.meta_gradients.truncated_backprop import TruncatedBackprop as TruncatedBackprop
from lopt.meta_gradients.unrolling import Unrolling as Unrolling
