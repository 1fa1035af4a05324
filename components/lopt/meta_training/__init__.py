"""Meta-training: an iterator over meta-steps, and what it is made of."""

from lopt.meta_training.devices import problem_mesh as problem_mesh
from lopt.meta_training.loop import meta_train as meta_train
from lopt.meta_training.metrics import Fault as Fault
from lopt.meta_training.metrics import MetaMetrics as MetaMetrics
from lopt.meta_training.processes import from_first as from_first
from lopt.meta_training.processes import gathered as gathered
from lopt.meta_training.settings import MetaTraining as MetaTraining
from lopt.meta_training.state import MetaState as MetaState
from lopt.meta_training.state import init_meta_state as init_meta_state
from lopt.meta_training.validation import validation_losses as validation_losses
from lopt.meta_training.validation import weighted as weighted
