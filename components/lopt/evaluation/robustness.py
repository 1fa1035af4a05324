"""How much an optimizer minds at which learning rate it begins: the paper's figure 5.

For an optimizer with a learned rate it is the initial one, for others the rate itself. It is a
target of its own, "initial_rates/<target>", since nobody has a choice among the rates there.
"""

import dataclasses
from collections.abc import Sequence

from lopt.evaluation.bootstrap import mean_with_interval
from lopt.evaluation.candidate import Candidate
from lopt.evaluation.cell import Cell
from lopt.evaluation.measures import AREA, values
from lopt.evaluation.target import Target

INITIAL_LEARNING_RATES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
FROM_ALL_RATES = "initial_rates/"
"""What the name of a target begins with on which every optimizer begins at all these rates."""


@dataclasses.dataclass(frozen=True)
class RateScore:
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


@dataclasses.dataclass(frozen=True)
class Robustness:
    """How well an optimizer does from all learning rates together; a row of `over_rates`."""

    target: str
    optimizer: str
    mean: float
    """Of the scores over the rates, each weighing the same; lower is better."""
    low: float
    high: float
    """Of the 95 % bootstrap interval of the mean, over the seeds."""
    worst: RateScore
    """At the rate with the highest score."""
    diverged: int
    trajectories: int
    """Of all rates and seeds."""


def is_from_all_rates(target: str) -> bool:
    """Tell of a target by its name whether every optimizer begins at all rates there.

    **Example**

    ```python
    is_from_all_rates("initial_rates/digits/mlp")  # True
    ```
    """
    return target.startswith(FROM_ALL_RATES)


def trained_on(target: str) -> str:
    """Return the name of what is trained there, which is the target's own if it has no other.

    **Example**

    ```python
    trained_on("initial_rates/digits/mlp")  # "digits/mlp"
    ```
    """
    return target.removeprefix(FROM_ALL_RATES)


def named_for_all_rates(target: Target) -> Target:
    """Return the same target under the name that has every optimizer begin at all rates.

    **Example**

    ```python
    (mlp,) = targets(["digits/mlp"], data_sets)
    named_for_all_rates(mlp).name  # "initial_rates/digits/mlp"
    ```
    """
    return dataclasses.replace(target, name=f"{FROM_ALL_RATES}{target.name}")


def from_all_rates(
    candidates: Sequence[Candidate], learning_rates: tuple[float, ...] = INITIAL_LEARNING_RATES
) -> tuple[Candidate, ...]:
    """Return the candidates so that each begins at every one of the rates.

    `evaluate` does so by itself on targets that are called "initial_rates/...".

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
    rows = robustness(report.from_all_rates)
    worst = max(row.score for row in rows if row.optimizer == "learned")
    ```
    """
    return tuple(_row(cell.at(rate)) for cell in cells for rate in range(len(cell.learning_rates)))


def over_rates(cells: Sequence[Cell]) -> tuple[Robustness, ...]:
    """Return a row for every cell, in their order: all its learning rates together.

    **Example**

    ```python
    for row in over_rates(report.from_all_rates):
        print(row.target, row.optimizer, row.mean, row.worst.score, row.diverged)
    ```
    """
    return tuple(map(_together, cells))


def _row(cell: Cell) -> RateScore:
    score, low, high = mean_with_interval([values(cell, AREA)[0]])
    (learning_rate,) = cell.learning_rates
    diverged = int(cell.diverged.sum())
    return RateScore(cell.target, cell.optimizer, learning_rate, score, low, high, diverged)


def _together(cell: Cell) -> Robustness:
    # A seed is the same problem at every rate, so that its scores are no independent draws.
    mean, low, high = mean_with_interval([values(cell, AREA).mean(axis=0)])
    return Robustness(
        target=cell.target,
        optimizer=cell.optimizer,
        mean=mean,
        low=low,
        high=high,
        worst=max(robustness([cell]), key=lambda row: row.score),
        diverged=int(cell.diverged.sum()),
        trajectories=cell.diverged.size,
    )
