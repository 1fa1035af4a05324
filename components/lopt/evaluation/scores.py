"""From trajectories to scores and differences of scores, with confidence intervals."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float64

from lopt.evaluation.bootstrap import mean_with_interval
from lopt.evaluation.cell import Cell
from lopt.evaluation.choices import Choice, at_end
from lopt.evaluation.measures import TRAINING_LOSS, better, measures, values
from lopt.evaluation.target import Better

MEAN = "mean"
"""Stands where a target's name would, for the mean over targets."""


@dataclasses.dataclass(frozen=True)
class Score:
    """A mean over seeds, or over targets of such means, with its 95 % bootstrap interval."""

    target: str
    optimizer: str
    choice: Choice
    learning_rate: float | None
    """`None` for a mean over targets that do not have the same."""
    at_end: bool
    """Whether that was chosen and is the least or the greatest of those tried."""
    measure: str
    better: Better
    value: float
    low: float
    high: float
    trajectories: int
    diverged: int
    """How many of the trajectories have."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """Score of ours minus that of another, seed by seed, with its 95 % bootstrap interval."""

    target: str
    ours: str
    other: str
    choice: Choice
    """Which learning rate the other had."""
    measure: str
    better: Better
    value: float
    low: float
    high: float

    @property
    def verdict(self) -> Literal["better", "worse", "undecided"]:
        """Whether ours is better beyond the interval, worse beyond it, or neither."""
        if self.low <= 0.0 <= self.high:
            return "undecided"
        return "better" if (self.value < 0.0) == (self.better == "lower") else "worse"


def score(
    name: str, cells: Sequence[Cell], choice: Choice, measure: str, tried: Sequence[float]
) -> Score:
    """Return the score of one optimizer on the targets of `cells`, each weighing the same.

    `name` is the target's, or "mean"; the cells have one learning rate each, as `chosen`
    gives them, out of the learning rates that were tried.

    **Example**

    ```python
    tried = report.of("Adam")[0].learning_rates
    adam = chosen(report.of("Adam"), "best single rate")
    score("mean", adam, "best single rate", "area", tried).value
    ```
    """
    value, low, high = mean_with_interval([_seeds(cell, measure) for cell in cells])
    rates = {cell.learning_rates[0] for cell in cells}
    rate = rates.pop() if len(rates) == 1 else None
    return Score(
        target=name,
        optimizer=cells[0].optimizer,
        choice=choice,
        learning_rate=rate,
        at_end=rate is not None and at_end(rate, tried),
        measure=measure,
        better=better(cells[0], measure),
        value=value,
        low=low,
        high=high,
        trajectories=sum(cell.diverged.size for cell in cells),
        diverged=sum(int(cell.diverged.sum()) for cell in cells),
    )


def difference(
    name: str, ours: Sequence[Cell], other: Sequence[Cell], choice: Choice, measure: str
) -> Difference:
    """Return by how much two optimizers differ on the same targets, paired by seed.

    **Example**

    ```python
    adam = chosen(report.of("Adam"), "best single rate")
    difference("mean", report.of("learned"), adam, "best single rate", "area").verdict
    ```
    """
    pairs = zip(ours, other, strict=True)
    gaps = [_gap(_seeds(one, measure), _seeds(two, measure)) for one, two in pairs]
    value, low, high = mean_with_interval(gaps)
    return Difference(
        target=name,
        ours=ours[0].optimizer,
        other=other[0].optimizer,
        choice=choice,
        measure=measure,
        better=better(ours[0], measure),
        value=value,
        low=low,
        high=high,
    )


def slices(cells: Sequence[Cell], measure: str) -> list[tuple[str, list[Cell]]]:
    """Return what a measure is scored on: each target that has it, then all of these together.

    But for the training loss, of which no mean over targets means anything: each has it in
    units of its own.

    **Example**

    ```python
    rows = [score(name, part, choice, "area", tried) for name, part in slices(cells, "area")]
    ```
    """
    having = [cell for cell in cells if measure in measures(cell)]
    together = [(MEAN, having)] if having and measure != TRAINING_LOSS else []
    return [*((cell.target, [cell]) for cell in having), *together]


def _seeds(cell: Cell, measure: str) -> Float64[np.ndarray, " seeds"]:
    return np.asarray(values(cell, measure)[0])


def _gap(
    ours: Float64[np.ndarray, " seeds"], other: Float64[np.ndarray, " seeds"]
) -> Float64[np.ndarray, " seeds"]:
    # Where both are the same infinity neither is ahead; infinity minus itself is no number.
    return np.asarray(np.subtract(ours, other, out=np.zeros_like(ours), where=ours != other))
