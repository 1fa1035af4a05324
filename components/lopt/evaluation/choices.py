"""Which of its learning rates an optimizer is judged by."""

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np

from lopt.evaluation.cell import Cell
from lopt.evaluation.measures import AREA, values

Choice = Literal["default rate", "best single rate", "best rate per target"]
DEFAULT: Final = "default rate"
"""What an optimizer has that was given one learning rate."""
SINGLE: Final = "best single rate"
TUNED: Final = "best rate per target"


def choices(cells: Sequence[Cell]) -> tuple[Choice, ...]:
    """Return the choices that an optimizer has, of which `cells` are all.

    **Example**

    ```python
    choices(report.of("Adam"))  # ("best single rate", "best rate per target")
    ```
    """
    if cells[0].tuned:
        return (SINGLE, TUNED)
    return (DEFAULT,)


def at_end(rate: float, tried: Sequence[float]) -> bool:
    """Tell whether a learning rate is the least or the greatest of those tried.

    Where the best one is, a better one may lie beyond. Of one rate nothing was tried.

    **Example**

    ```python
    at_end(0.3, (0.01, 0.1, 0.3))  # True
    ```
    """
    return min(tried) < max(tried) and rate in (min(tried), max(tried))


def chosen(cells: Sequence[Cell], choice: Choice) -> tuple[Cell, ...]:
    """Return the cells of one optimizer, one for each target, at the learning rate chosen.

    "best single rate" is the one rate with the least mean over targets of the mean over seeds
    of the area, as the paper has it; "best rate per target" takes the least of each target.
    Either is chosen on the very trajectories that are then scored, which favours an optimizer
    with a sweep over one without.

    **Example**

    ```python
    adam = chosen(report.of("Adam"), "best single rate")
    adam[0].learning_rates  # (0.01,)
    ```
    """
    areas = np.stack([values(cell, AREA).mean(axis=1) for cell in cells])
    best = areas.argmin(axis=1)
    if choice == SINGLE:
        best[:] = areas.mean(axis=0).argmin()
    return tuple(cell.at(int(rate)) for cell, rate in zip(cells, best, strict=True))
