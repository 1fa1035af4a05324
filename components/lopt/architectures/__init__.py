"""The learned optimizers, each in a file of its name, and what they have in common."""

from lopt.architectures.adafactor_mlp import AdafactorMLP as AdafactorMLP
from lopt.architectures.base import LearnedOptimizer as LearnedOptimizer
from lopt.architectures.base import ParamsOffset as ParamsOffset
from lopt.architectures.base import eval_params as eval_params
from lopt.architectures.coordinatewise_rnn import CoordinatewiseRNN as CoordinatewiseRNN
from lopt.architectures.global_learning_rate import GlobalLearningRate as GlobalLearningRate
from lopt.architectures.hierarchical_rnn import HierarchicalRNN as HierarchicalRNN
from lopt.architectures.learned_adam import LearnedAdam as LearnedAdam
from lopt.architectures.learning_rate_schedule import LearningRateSchedule as LearningRateSchedule
from lopt.architectures.learning_rates import DEFAULT_LEARNING_RATE as DEFAULT_LEARNING_RATE
from lopt.architectures.learning_rates import InitialLearningRate as InitialLearningRate
from lopt.architectures.learning_rates import RandomLearningRate as RandomLearningRate
