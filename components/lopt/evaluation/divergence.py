"""How often trajectories diverge, and how often they end above where they began."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from lopt.evaluation.bootstrap import CONFIDENCE
from lopt.evaluation.cell import Cell
from lopt.evaluation.choices import Choice

EVERY_RATE = "every rate"
"""Stands where a choice would, for all trajectories of a sweep."""


@dataclasses.dataclass(frozen=True)
class Divergence:
    """Which part of an optimizer's trajectories, of every target and seed, has diverged."""

    optimizer: str
    choice: Choice | str
    """Which learning rate they had, or "every rate"."""
    trajectories: int
    diverged: int
    risen: int
    """How many end above their first loss, those that have diverged among them."""
    low: float
    high: float
    """Wilson's 95 % interval of the fraction that has diverged, which is above 0 for none."""

    @property
    def fraction(self) -> float:
        """Which part has diverged."""
        return self.diverged / self.trajectories


def divergence(cells: Sequence[Cell], choice: Choice | str) -> Divergence:
    """Count what has diverged among all trajectories of the cells of one optimizer.

    **Example**

    ```python
    divergence(chosen(report.of("Adam"), "best single rate"), "best single rate").fraction
    ```
    """
    from scipy.stats import binomtest

    trajectories = sum(cell.diverged.size for cell in cells)
    diverged = sum(int(cell.diverged.sum()) for cell in cells)
    risen = sum(int(np.sum(_risen(cell))) for cell in cells)
    interval = binomtest(diverged, trajectories).proportion_ci(CONFIDENCE, method="wilson")
    return Divergence(
        optimizer=cells[0].optimizer,
        choice=choice,
        trajectories=trajectories,
        diverged=diverged,
        risen=risen,
        low=float(interval.low),
        high=float(interval.high),
    )


def _risen(cell: Cell) -> Bool[np.ndarray, "rates seeds"]:
    # Where the first loss is infinite already, the last one is not above it.
    return np.asarray(cell.diverged | (cell.losses[..., -1] > cell.losses[..., 0]))
