"""How much an optimizer minds at which learning rate it begins: the paper's figure 5.

For an optimizer with a learned rate it is the initial one, for others the rate itself. It is a
report of its own, of one or a few targets, for there nobody has a choice among the rates.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from lopt.evaluation.bootstrap import mean_with_interval
from lopt.evaluation.candidate import Candidate
from lopt.evaluation.cell import Cell
from lopt.evaluation.measures import AREA, values

INITIAL_LEARNING_RATES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)


class RateScore(NamedTuple):
    """How well an optimizer does from one learning rate; a row of `robustness`."""

    target: str
    optimizer: str
    learning_rate: float
    score: float
    """Mean over the seeds of the area under log10(loss / initial loss); lower is better."""
    low: float
    high: float
    """Of the 95 % bootstrap interval of the mean."""
    diverged: int
    """Seeds whose trajectories have diverged."""


def from_all_rates(
    candidates: Sequence[Candidate], learning_rates: tuple[float, ...] = INITIAL_LEARNING_RATES
) -> tuple[Candidate, ...]:
    """Return the candidates so that each begins at every one of the rates.

    **Example**

    ```python
    from_everywhere = from_all_rates([learned(optimizer), *baselines()])
    cells = tuple(evaluate([target], from_everywhere, seeds=8, key=jax.random.key(0)))
    rows = robustness(cells)
    ```
    """
    return tuple(
        dataclasses.replace(candidate, learning_rates=learning_rates) for candidate in candidates
    )


def robustness(cells: Sequence[Cell]) -> tuple[RateScore, ...]:
    """Return a row for every learning rate of every cell, in their order.

    **Example**

    ```python
    rows = robustness(report.cells)
    worst = max(row.score for row in rows if row.optimizer == "learned")
    ```
    """
    return tuple(_row(cell.at(rate)) for cell in cells for rate in range(len(cell.learning_rates)))


def _row(cell: Cell) -> RateScore:
    score, low, high = mean_with_interval([values(cell, AREA)[0]])
    (learning_rate,) = cell.learning_rates
    diverged = int(cell.diverged.sum())
    return RateScore(cell.target, cell.optimizer, learning_rate, score, low, high, diverged)
