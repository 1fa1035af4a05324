"""Comparing optimizers on what they were not trained on; DESIGN.md section 3."""

from lopt.evaluation.baselines import BASELINES as BASELINES
from lopt.evaluation.baselines import LEARNING_RATES as LEARNING_RATES
from lopt.evaluation.baselines import baselines as baselines
from lopt.evaluation.candidate import Candidate as Candidate
from lopt.evaluation.candidate import learned as learned
from lopt.evaluation.cell import Cell as Cell
from lopt.evaluation.evaluate import evaluate as evaluate
from lopt.evaluation.evaluate import evaluate_one as evaluate_one
from lopt.evaluation.failures import Failure as Failure
from lopt.evaluation.failures import comparable as comparable
from lopt.evaluation.report import Report as Report
from lopt.evaluation.report import ReportError as ReportError
from lopt.evaluation.scores import Difference as Difference
from lopt.evaluation.scores import Score as Score
from lopt.evaluation.target import Target as Target
