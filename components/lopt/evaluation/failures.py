"""Cells that could not be computed, and which of the others can still be compared."""

import dataclasses
from collections.abc import Sequence

from lopt.evaluation.cell import Cell
from lopt.evaluation.robustness import is_from_all_rates

LEFT_OUT = "left_out"
"""The fact of a report that says, as JSON, where the finished cells lie that are not in it."""


@dataclasses.dataclass(frozen=True)
class Failure:
    """An optimizer on a target that no cell came of, and why.

    **Example**

    ```python
    Failure("digits/mlp", "Muon", "XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory")
    ```
    """

    target: str
    optimizer: str
    reason: str


def comparable(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Return the cells that a report can be made of: those of a grid without gaps.

    While a cell is missing, the target or the optimizer that lacks the largest share of its
    cells is left out, a target where both lack as much: one failure costs its target, and an
    optimizer that fails nearly everywhere costs itself alone. Nothing where nothing was given.
    Targets on which optimizers begin at all rates are a grid of their own.

    **Example**

    ```python
    Report(comparable(cells), facts, failures)
    ```
    """
    apart = [cell for cell in cells if is_from_all_rates(cell.target)]
    compared = [cell for cell in cells if not is_from_all_rates(cell.target)]
    return (*_without_gaps(compared), *_without_gaps(apart))


def _without_gaps(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    kept = tuple(cells)
    while (worst := _most_incomplete(kept)) is not None:
        kept = tuple(cell for cell in kept if worst not in _lines(cell))
    return kept


Line = tuple[str, str]
"""A line of the grid: "target" or "optimizer", and which."""


def _lines(cell: Cell) -> tuple[Line, Line]:
    return ("target", cell.target), ("optimizer", cell.optimizer)


def _most_incomplete(cells: Sequence[Cell]) -> Line | None:
    """Return the line that lacks the largest share of its cells, `None` where none lacks any."""
    targets = dict.fromkeys(_lines(cell)[0] for cell in cells)
    optimizers = dict.fromkeys(_lines(cell)[1] for cell in cells)
    whole = {**dict.fromkeys(targets, len(optimizers)), **dict.fromkeys(optimizers, len(targets))}
    there = dict.fromkeys(whole, 0)
    for cell in cells:
        for line in _lines(cell):
            there[line] += 1
    lacking = {line: 1 - there[line] / whole[line] for line in whole}
    worst = max(lacking, key=lambda line: lacking[line], default=None)
    return worst if worst is not None and lacking[worst] > 0 else None
