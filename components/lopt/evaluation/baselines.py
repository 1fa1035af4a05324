"""The optimizers that the paper compares with, each with its sweep of learning rates.

Wichrowska et al. 2017, section 4; the rates are those of PAPER.md section 6.
"""

import optax
from jaxtyping import Array, Float

from lopt.evaluation.candidate import Candidate

LEARNING_RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)


def baselines(learning_rates: tuple[float, ...] = LEARNING_RATES) -> tuple[Candidate, ...]:
    """Return SGD with momentum 0.9, RMSProp (decay 0.9) and Adam, to be swept over the rates.

    **Example**

    ```python
    names = [candidate.name for candidate in baselines()]  # ["SGD+momentum", "RMSProp", "Adam"]
    ```
    """
    return (
        Candidate("SGD+momentum", _momentum, learning_rates),
        Candidate("RMSProp", _rmsprop, learning_rates),
        Candidate("Adam", _adam, learning_rates),
    )


# Functions of this module and no closures: a compiled program is found again by them.
def _momentum(learning_rate: Float[Array, ""]) -> optax.GradientTransformation:
    return optax.sgd(learning_rate, momentum=0.9)


def _rmsprop(learning_rate: Float[Array, ""]) -> optax.GradientTransformation:
    return optax.rmsprop(learning_rate, decay=0.9)


def _adam(learning_rate: Float[Array, ""]) -> optax.GradientTransformation:
    return optax.adam(learning_rate)
