"""Seconds per step drawn against the size of a minibatch, and as multiples of one optimizer's."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from lopt.evaluation.colours import colour_of
from lopt.evaluation.tables import Table
from lopt.figures.drawn import Drawn
from lopt.figures.panels import legend_below, panels, plain_logarithms
from lopt.figures.step_times import StepTime

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CAPTION = (
    "Left: seconds of one gradient and one update on {target}, on {device}. Right: the same "
    "divided by {reference}'s of the same round; the dotted line is as fast as {reference}. "
    "Lines are medians over {rounds} rounds, in each of which all optimizers have their turn "
    "within the same seconds; bands reach from the first to the third quartile."
)


def step_times_figure(rows: Sequence[StepTime], reference: str, title: str, device: str) -> Drawn:
    """Draw the readings of one target; ratios are to `reference`, round by round.

    `device` says what was measured on. Raises `ValueError` if `reference` was not measured.

    **Example**

    ```python
    rows = [row for rows in step_times(target, candidates, (8, 64), key=key) for row in rows]
    drawn = step_times_figure(rows, "Adam", "Seconds per step", "two cores")
    ```
    """
    import pandas as pd

    optimizers = list(dict.fromkeys(row.optimizer for row in rows))
    if reference not in optimizers:
        raise ValueError(
            f"Ratios are to be to {reference!r}, but there are only: {', '.join(optimizers)}."
        )
    sizes = np.array(sorted({row.batch_size for row in rows}))
    seconds = {one: _table(rows, one, sizes) for one in optimizers}
    ratios = {one: seconds[one] / seconds[reference] for one in optimizers}
    figure, (left, right) = panels(2, width=5.4, height=4.2)
    for number, optimizer in enumerate(optimizers):
        _plot(left, sizes, seconds[optimizer], number, optimizer)
        if optimizer != reference:
            _plot(right, sizes, ratios[optimizer], number, optimizer)
    right.axhline(1.0, color="#555555", linestyle=":", linewidth=1.2)
    _label(left, "seconds per gradient and update", sizes)
    _label(right, f"times {reference}'s seconds, round by round", sizes)
    figure.suptitle(title)
    legend_below(figure)
    caption = CAPTION.format(
        target=rows[0].target, device=device, reference=reference, rounds=len(seconds[reference])
    )
    tables = {"step_times": pd.DataFrame(rows, columns=StepTime._fields)}
    return Drawn(title, caption, figure, tables, _summary(sizes, seconds, ratios, reference))


def _table(
    rows: Sequence[StepTime], optimizer: str, sizes: np.ndarray
) -> Float64[np.ndarray, "rounds sizes"]:
    by_place = {
        (row.round, row.batch_size): row.seconds for row in rows if row.optimizer == optimizer
    }
    rounds = sorted({number for number, _ in by_place})
    return np.array([[by_place[number, int(size)] for size in sizes] for number in rounds])


def _quartiles(values: Float64[np.ndarray, "rounds sizes"]) -> Float64[np.ndarray, "3 sizes"]:
    return np.asarray(np.quantile(values, [0.25, 0.5, 0.75], axis=0))


def _plot(
    axes: "Axes",
    sizes: np.ndarray,
    values: Float64[np.ndarray, "rounds sizes"],
    number: int,
    label: str,
) -> None:
    low, middle, high = _quartiles(values)
    colour = colour_of(number)
    axes.plot(sizes, middle, "o-", color=colour, ms=4, lw=2.6 if number == 0 else 1.4, label=label)
    axes.fill_between(sizes, low, high, color=colour, alpha=0.2, lw=0)


def _label(axes: "Axes", what: str, sizes: np.ndarray) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    plain_logarithms(axes)
    axes.set_xlabel("images in a minibatch")
    axes.set_ylabel(what)
    axes.grid(visible=True, which="both", alpha=0.3)


def _summary(
    sizes: np.ndarray,
    seconds: dict[str, Float64[np.ndarray, "rounds sizes"]],
    ratios: dict[str, Float64[np.ndarray, "rounds sizes"]],
    reference: str,
) -> Table:
    columns = ["images", f"{reference}, ms"]
    columns += [f"{one}, times {reference}" for one in seconds if one != reference]
    lines = []
    for place, size in enumerate(sizes):
        middle = 1e3 * np.median(seconds[reference][:, place])
        cells = [str(size), f"{middle:.3g}"]
        for one, ratio in ratios.items():
            if one != reference:
                low, mid, high = _quartiles(ratio)[:, place]
                cells.append(f"{mid:.3g} ({low:.3g} to {high:.3g})")
        lines.append(tuple(cells))
    return Table(tuple(columns), tuple(lines))
