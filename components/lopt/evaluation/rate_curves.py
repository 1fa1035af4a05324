"""The scores of optimizers against the learning rates that they begin at, as plots draw them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from lopt.evaluation.report import Report
from lopt.evaluation.robustness import RateScore, robustness


class RateCurve(NamedTuple):
    """One optimizer on one target, in the order of the rates."""

    label: str
    number: int
    """The optimizer's, which decides its colour."""
    ours: bool
    """Whether it is to stand out."""
    rates: Float64[np.ndarray, " rates"]
    scores: Float64[np.ndarray, " rates"]
    low: Float64[np.ndarray, " rates"]
    high: Float64[np.ndarray, " rates"]
    diverged: Bool[np.ndarray, " rates"]
    """At which rates some seed has diverged."""


def rate_curve(rows: Sequence[RateScore], number: int, *, ours: bool) -> RateCurve:
    """Return the curve of the rows of one optimizer on one target.

    **Example**

    ```python
    curve = rate_curve(robustness([cell]), 0, ours=True)
    ```
    """
    ordered = sorted(rows, key=lambda row: row.learning_rate)
    numbers = [(row.learning_rate, row.score, row.low, row.high) for row in ordered]
    rates, scores, low, high = np.array(numbers).T
    diverged = np.array([row.diverged > 0 for row in ordered])
    return RateCurve(rows[0].optimizer, number, ours, rates, scores, low, high, diverged)


def rate_curves(report: Report, target: str) -> Iterator[RateCurve]:
    """Yield the curve of every optimizer on one of the `robustness_targets` of a report.

    Colours are those of the optimizers in the report's other plots.

    **Example**

    ```python
    labels = [curve.label for curve in rate_curves(report, "initial_rates/digits/mlp")]
    ```
    """
    cells = [cell for cell in report.from_all_rates if cell.target == target]
    names = list(dict.fromkeys((*report.optimizers, *(cell.optimizer for cell in cells))))
    for cell in cells:
        name = cell.optimizer
        yield rate_curve(robustness([cell]), names.index(name), ours=name in report.ours)
