"""Scores as rows of text, for whoever prints them: a terminal, Markdown, a web page."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from lopt.evaluation.divergence import Divergence
from lopt.evaluation.reaching import Reaching
from lopt.evaluation.robustness import RateScore, Robustness
from lopt.evaluation.scores import Difference, Score
from lopt.evaluation.texts import (
    RATE,
    area_text,
    difference_text,
    interval_text,
    name,
    part_text,
    rate_text,
)


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
        {(row.target, row.other + RATE[row.choice]): difference_text(row) for row in differences}
    )


def reaching_table(reachings: Sequence[Reaching]) -> Table:
    """Return a row for each target, a column for each optimizer: how soon it was at Adam's end.

    A cell reads "120 steps, 0.31 s (8 of 8)": medians over the seeds, and how many of those
    ever were there; "never" where half or more were not. The last row adds up what was.

    **Example**

    ```python
    reaching_table(report.reachings()).rows[-1]
    ```
    """
    columns: dict[str, list[Reaching]] = {}
    for row in reachings:
        columns.setdefault(row.optimizer + RATE[row.choice], []).append(row)
    soon = {(row.target, column): _soon(row) for column, rows in columns.items() for row in rows}
    return _table(soon | {("all", column): _total(rows) for column, rows in columns.items()})


def divergence_table(divergences: Sequence[Divergence]) -> Table:
    """Return a row for each optimizer and choice of rate: how many trajectories diverged.

    **Example**

    ```python
    divergence_table(report.divergences()).rows[0]
    ```
    """
    columns = ("optimizer", "learning rate", "diverged", "fraction, 95 %", "ended above the start")
    rows = tuple(
        (
            row.optimizer,
            row.choice,
            part_text(row.diverged, row.trajectories),
            f"{row.fraction:.1%} [{row.low:.1%}, {row.high:.1%}]",
            part_text(row.risen, row.trajectories),
        )
        for row in divergences
    )
    return Table(columns, rows)


def robustness_table(scores: Sequence[RateScore], together: Sequence[Robustness]) -> Table:
    """Return a row for each optimizer on each target: its scores over the rates, and at each.

    A cell reads "-1.250 [-1.402, -1.103]": mean over the seeds and its interval.

    **Example**

    ```python
    cells = report.from_all_rates
    robustness_table(robustness(cells), over_rates(cells)).rows[0]
    ```
    """
    rates = sorted({row.learning_rate for row in scores})
    at = {(row.target, row.optimizer, row.learning_rate): _rate_text(row) for row in scores}
    rows = tuple(
        (
            one.target,
            one.optimizer,
            area_text(one.mean, one.low, one.high),
            f"{_rate_text(one.worst)} at {one.worst.learning_rate:g}",
            part_text(one.diverged, one.trajectories),
            *(at.get((one.target, one.optimizer, rate), "") for rate in rates),
        )
        for one in together
    )
    columns = ("target", "optimizer", "mean over the rates", "worst", "diverged")
    return Table((*columns, *(f"from {rate:g}" for rate in rates)), rows)


def _table(cells: Mapping[tuple[str, str], str]) -> Table:
    columns = dict.fromkeys(column for _, column in cells)
    targets = dict.fromkeys(target for target, _ in cells)
    rows = tuple((target, *(cells[target, column] for column in columns)) for target in targets)
    return Table(("target", *columns), rows)


def _soon(row: Reaching) -> str:
    reached = part_text(row.reached, row.trajectories)
    if not np.isfinite(row.steps):
        return f"never ({reached})"
    seconds = "" if row.seconds is None else f", {row.seconds:.3g} s"
    return f"{row.steps:g} steps{seconds} ({reached})"


def _total(rows: Sequence[Reaching]) -> str:
    return part_text(sum(row.reached for row in rows), sum(row.trajectories for row in rows))


def _score_text(score: Score) -> str:
    text = interval_text(score) + rate_text(score)
    return text + (f", {score.diverged} diverged" if score.diverged else "")


def _rate_text(row: RateScore) -> str:
    return area_text(row.score, row.low, row.high)
