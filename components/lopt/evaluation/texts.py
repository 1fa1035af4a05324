"""Names and numbers of a report as text, the same in a terminal, in Markdown and on a page."""

from lopt.evaluation.choices import DEFAULT, SINGLE, TUNED
from lopt.evaluation.measures import AREA, SPEED_UP, SPEED_UP_IN_SECONDS
from lopt.evaluation.scores import Difference, Score

_FIRST_BY_POWERS_OF_TEN = 1e6
RATE = {DEFAULT: "", SINGLE: " (best rate)", TUNED: " (best per target)"}
AT_END = "†"
"""Stands after a learning rate that was chosen at an end of those tried."""


def name(score: Score) -> str:
    """Return what a column or curve of this score is called.

    **Example**

    ```python
    name(score)  # "Adam (best rate)"
    ```
    """
    return score.optimizer + RATE[score.choice]


def rate_text(score: Score) -> str:
    """Return the learning rate if it was chosen, and is one; marked at an end of those tried.

    **Example**

    ```python
    name(score) + rate_text(score)  # "Adam (best rate) at 0.3†"
    ```
    """
    chosen = score.choice != DEFAULT and score.learning_rate is not None
    return f" at {score.learning_rate:g}{end_mark(score)}" if chosen else ""


def end_mark(score: Score) -> str:
    """Return the mark of a learning rate at an end of those tried, nothing for any other.

    **Example**

    ```python
    end_mark(score)  # "†"
    ```
    """
    return AT_END if score.at_end else ""


def value_text(measure: str, value: float) -> str:
    """Write a value of a measure; speed-ups, which are logarithms, as how many times that is.

    **Example**

    ```python
    value_text("area", -1.25)  # "-1.250"
    value_text("speed_up", 1.0)  # "2.00x"
    ```
    """
    if measure not in (SPEED_UP, SPEED_UP_IN_SECONDS):
        # The mean loss of who has diverged has as many digits as that of who has not.
        return f"{value:.3f}" if abs(value) < _FIRST_BY_POWERS_OF_TEN else f"{value:.3g}"
    return f"{2.0**value:.2f}x" if abs(value) < 3 else f"{2.0**value:.3g}x"


def interval_text(row: Score | Difference) -> str:
    """Write a score or a difference with its interval.

    **Example**

    ```python
    interval_text(score)  # "-1.250 [-1.402, -1.103]"
    ```
    """
    return _interval(row.measure, row.value, row.low, row.high)


def area_text(value: float, low: float, high: float) -> str:
    """Write an area with its interval.

    **Example**

    ```python
    area_text(-1.25, -1.402, -1.103)  # "-1.250 [-1.402, -1.103]"
    ```
    """
    return _interval(AREA, value, low, high)


def difference_text(row: Difference) -> str:
    """Write a difference with its interval and the verdict on ours.

    **Example**

    ```python
    difference_text(report.differences("learned", "area")[0])  # "-0.310 [-0.401, -0.220] better"
    ```
    """
    return f"{interval_text(row)} {row.verdict}"


def part_text(part: int, whole: int) -> str:
    """Write how many of how many.

    **Example**

    ```python
    part_text(3, 8)  # "3 of 8"
    ```
    """
    return f"{part} of {whole}"


def _interval(measure: str, *values: float) -> str:
    value, low, high = (value_text(measure, one) for one in values)
    return f"{value} [{low}, {high}]"
