"""The figures of Wichrowska et al. 2017, of what was measured here: PAPER.md section 6."""

from lopt.figures.ablations import ablations as ablations
from lopt.figures.drawn import Drawn as Drawn
from lopt.figures.drawn import Written as Written
from lopt.figures.drawn import write as write
from lopt.figures.initial_rates import initial_rates as initial_rates
from lopt.figures.step_times import StepTime as StepTime
from lopt.figures.step_times import step_times as step_times
from lopt.figures.step_times_figure import step_times_figure as step_times_figure
from lopt.figures.training_curves import training_curves as training_curves
