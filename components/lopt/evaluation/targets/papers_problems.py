"""The small test problems that Wichrowska et al. 2017's code names: PAPER.md section 6.

Its networks on images are in `papers_mlps` and `papers_convnets`. Left out is the MLP for ten
classes, whose generated data have two; the other one begins here as those of the ensemble do
(PAPER.md section 5.2).
"""

from typing import Any

from lopt.evaluation.drawn_problem import DrawnProblem


def _noisy(spec: dict[str, Any]) -> dict[str, Any]:
    return {"problem": "GradientNoise", "std": 1.0, "of": spec}


_QUADRATIC = {"problem": "Quadratic", "dimensions": 20}
_ROSENBROCK = {"problem": "TwoDimensional", "function": "Rosenbrock"}
_SOFTMAX = {"problem": "SoftmaxRegression", "features": 10, "samples": 10_000, "batch_size": 100}
_MLP = {
    "problem": "FullyConnected",
    "features": 10,
    "hidden": [32, 64],
    "activation": "relu",
    "samples": 10_000,
    "batch_size": 100,
}

QUADRATIC = DrawnProblem("papers/quadratic", _QUADRATIC)
NOISY_QUADRATIC = DrawnProblem("papers/quadratic-noisy", _noisy(_QUADRATIC))
ROSENBROCK = DrawnProblem("papers/rosenbrock", _ROSENBROCK)
NOISY_ROSENBROCK = DrawnProblem("papers/rosenbrock-noisy", _noisy(_ROSENBROCK))
SOFTMAX = DrawnProblem("papers/softmax", _SOFTMAX)
NOISY_SOFTMAX = DrawnProblem("papers/softmax-noisy", _noisy(_SOFTMAX))
MLP = DrawnProblem("papers/mlp", _MLP)
