"""Scores as rows of text, for whoever prints them: a terminal, Markdown, a web page."""

import dataclasses
from collections.abc import Sequence

from lopt.evaluation.scores import Difference, Score

RATE = {
    "default rate": "",
    "best single rate": " (best rate)",
    "best rate per target": " (best per target)",
}


@dataclasses.dataclass(frozen=True)
class Table:
    """The names of the columns, and rows of as many strings.

    **Example**

    ```python
    table = score_table(report.scores("area"))
    lines = [" | ".join(row) for row in (table.columns, *table.rows)]
    ```
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def score_table(scores: Sequence[Score]) -> Table:
    """Return a row for each target and a column for each optimizer and choice of rate.

    `scores` are of one measure, as a report gives them. A cell reads "-1.250 [-1.402, -1.103]
    at 0.01": mean, interval, learning rate if it was chosen, and how many have diverged.

    **Example**

    ```python
    score_table(report.only("held_out/").scores("area")).rows[-1]  # the means over targets
    ```
    """
    cells = {(score.target, name(score)): _score_text(score) for score in scores}
    return _table(cells)


def difference_table(differences: Sequence[Difference]) -> Table:
    """Return a row for each target and a column for each baseline and choice of rate.

    A cell reads "-0.310 [-0.401, -0.220] better": ours minus theirs, interval, verdict on ours.

    **Example**

    ```python
    difference_table(report.differences("learned", "area")).rows[-1]
    ```
    """
    return _table(
        {
            (row.target, row.other + RATE[row.choice]): (
                f"{_interval(row.value, row.low, row.high)} {row.verdict}"
            )
            for row in differences
        }
    )


def name(score: Score) -> str:
    """Return what a column or curve of this score is called.

    **Example**

    ```python
    name(score)  # "Adam (best rate)"
    ```
    """
    return score.optimizer + RATE[score.choice]


def _table(cells: dict[tuple[str, str], str]) -> Table:
    columns = dict.fromkeys(column for _, column in cells)
    targets = dict.fromkeys(target for target, _ in cells)
    rows = tuple((target, *(cells[target, column] for column in columns)) for target in targets)
    return Table(("target", *columns), rows)


def _score_text(score: Score) -> str:
    text = _interval(score.value, score.low, score.high)
    if score.choice != "default rate" and score.learning_rate is not None:
        text += f" at {score.learning_rate:g}"
    return text + (f", {score.diverged} diverged" if score.diverged else "")


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"
