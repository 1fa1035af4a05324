"""The curves that are drawn of a target, by whatever draws them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32

from lopt.evaluation.cell import Cell, timed_alike
from lopt.evaluation.choices import at_end, choices, chosen
from lopt.evaluation.measures import log_relative_losses
from lopt.evaluation.report import Report
from lopt.evaluation.texts import AT_END, RATE


class LossCurve(NamedTuple):
    """The relative loss of one optimizer on one target: medians and quartiles over seeds.

    It is what is scored: a relative loss of at least 1e-6 and at most 100, a diverged
    trajectory staying at 100.
    """

    label: str
    """The optimizer, and the learning rate if that was chosen; marked at an end of those tried."""
    number: int
    """Which of the report's optimizers it is."""
    second: bool
    """Whether the optimizer has a curve at another rate before."""
    ours: bool
    """Whether the optimizer is one of the report's own, which are to stand out."""
    steps: Int32[np.ndarray, " records"]
    low: Float64[np.ndarray, " records"]
    middle: Float64[np.ndarray, " records"]
    high: Float64[np.ndarray, " records"]
    seconds_per_step: float | None
    """`None` where the cells of the target were not all timed alike."""


def loss_curves(report: Report, target: str) -> Iterator[LossCurve]:
    """Yield the curves of a target: each optimizer at its rate, or at the rates it is scored at.

    With a sweep that is the best single rate over the targets of the report first, and then
    the best for this target, if that is another.

    **Example**

    ```python
    labels = [curve.label for curve in loss_curves(report, "digits/mlp")]
    ```
    """
    alike = timed_alike(cell for cell in report.cells if cell.target == target)
    for number, optimizer in enumerate(report.optimizers):
        drawn: set[float] = set()
        tried = report.of(optimizer)[0].learning_rates
        for choice in choices(report.of(optimizer)):
            cells = chosen(report.of(optimizer), choice)
            cell = next(cell for cell in cells if cell.target == target)
            rate = cell.learning_rates[0]
            if rate not in drawn:
                mark = AT_END if at_end(rate, tried) else ""
                chosen_rate = f"{RATE[choice]}, {rate:g}{mark}" if RATE[choice] else ""
                low, middle, high = _quartiles(cell)
                yield LossCurve(
                    label=optimizer + chosen_rate,
                    number=number,
                    second=bool(drawn),
                    ours=optimizer in report.ours,
                    steps=cell.steps,
                    low=low,
                    middle=middle,
                    high=high,
                    seconds_per_step=cell.seconds_per_step if alike else None,
                )
            drawn.add(rate)


def said_of_ends(curves: Sequence[LossCurve]) -> str:
    """Say what the mark of a learning rate at an end of those tried is, if any curve has it.

    **Example**

    ```python
    said_of_ends(curves)  # "† least or greatest rate tried"
    ```
    """
    marked = any(curve.label.endswith(AT_END) for curve in curves)
    return f"{AT_END} least or greatest rate tried" if marked else ""


def _quartiles(cell: Cell) -> Float64[np.ndarray, "3 records"]:
    relative = 10.0 ** log_relative_losses(cell.losses[0])
    return np.asarray(np.quantile(relative, [0.25, 0.5, 0.75], axis=0))
