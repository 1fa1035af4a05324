"""The optimizers that learned ones are compared with, by name, each with a sweep of rates.

The first three are the paper's (Wichrowska et al. 2017, section 4), the rates those of PAPER.md
section 6. What is not said here is as optax has it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import optax
from jaxtyping import Array, Float

from lopt.evaluation.candidate import Candidate
from lopt.evaluation.schedules import LearningRate, Schedule, StaysOrFalls, constant

LEARNING_RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
PAPERS = ("SGD+momentum", "RMSProp", "Adam")


class Baseline(NamedTuple):
    """How an optimizer is made of a learning rate, and what becomes of that."""

    make: Callable[[Any], optax.GradientTransformation]
    schedule: Schedule


def baselines(
    learning_rates: tuple[float, ...] = LEARNING_RATES, names: Sequence[str] = PAPERS
) -> tuple[Candidate, ...]:
    """Return the baselines of these names, to be swept over the rates; the paper's by default.

    Raises `ValueError`, naming those there are, for names that are none.

    **Example**

    ```python
    strong = baselines(names=("AdamW+cosine", "ScheduleFreeAdam", "Muon+cosine"))
    every = baselines(names=tuple(BASELINES))
    ```
    """
    if unknown := [name for name in names if name not in BASELINES]:
        raise ValueError(
            f"There are no baselines called {', '.join(unknown)}; known: {', '.join(BASELINES)}. "
            "Any other optax transformation is compared as a Candidate of yours."
        )
    return tuple(
        Candidate(name, BASELINES[name].make, learning_rates, BASELINES[name].schedule)
        for name in names
    )


STAYS, FALLS = StaysOrFalls(falls=False), StaysOrFalls(falls=True)


# Functions of this module and no closures: a compiled program is found again by them.
def _momentum(learning_rate: LearningRate) -> optax.GradientTransformation:
    return optax.sgd(learning_rate, momentum=0.9)


def _rmsprop(learning_rate: LearningRate) -> optax.GradientTransformation:
    return optax.rmsprop(learning_rate, decay=0.9)


def _adam(learning_rate: LearningRate) -> optax.GradientTransformation:
    return optax.adam(learning_rate)


def _adamw(learning_rate: LearningRate) -> optax.GradientTransformation:
    """Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101; weight decay 1e-4."""
    return optax.adamw(learning_rate)


def _lion(learning_rate: LearningRate) -> optax.GradientTransformation:
    """Chen et al. 2023, https://arxiv.org/abs/2302.06675; weight decay 1e-3."""
    return optax.lion(learning_rate)


def _schedule_free(learning_rate: Float[Array, ""]) -> optax.GradientTransformation:
    """Defazio et al. 2024, https://arxiv.org/abs/2405.15682; no warm-up, no weight decay."""
    return optax.contrib.schedule_free_adamw(learning_rate)


def _muon(learning_rate: LearningRate) -> optax.GradientTransformation:
    """Jordan 2024 for matrices; params of any other number of axes get NAdam at the same rate.

    That one rate suits both, and that no size depends on which axis of a matrix is the input,
    is what the scale of Liu et al. 2025 is for: updates as long as Adam's are.
    https://kellerjordan.github.io/posts/muon, https://arxiv.org/abs/2502.16982
    """
    return optax.contrib.muon(learning_rate, consistent_rms=0.2)


BASELINES: Mapping[str, Baseline] = {
    "SGD+momentum": Baseline(_momentum, STAYS),
    "RMSProp": Baseline(_rmsprop, constant),
    "Adam": Baseline(_adam, constant),
    "SGD+momentum+cosine": Baseline(_momentum, FALLS),
    "AdamW": Baseline(_adamw, STAYS),
    "AdamW+cosine": Baseline(_adamw, FALLS),
    "Lion": Baseline(_lion, STAYS),
    "Lion+cosine": Baseline(_lion, FALLS),
    "ScheduleFreeAdam": Baseline(_schedule_free, constant),
    "Muon": Baseline(_muon, STAYS),
    "Muon+cosine": Baseline(_muon, FALLS),
}
"""A cosine for those whose authors or users let their rates fall; nothing else knows beforehand
how many steps there will be."""
