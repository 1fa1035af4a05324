"""How many entries of what there are, as a picture.

matplotlib is imported inside the functions, and none of its global state is touched.
"""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lopt.ensemble_entries import CATEGORIES
from lopt.ensemble_report.styles import COLOURS, set_of, sets_in_order, spaced
from lopt.ensembles import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHARACTERS = 110
"""How many of them the longest bar has room for in a line."""


def count_figure(rows: Sequence[Row]) -> "Figure":
    """Draw a bar for each category, made of its sets.

    **Example**

    ```python
    count_figure(ensemble.rows).savefig("counts.png")
    ```
    """
    from matplotlib.figure import Figure

    categories = [name for name in CATEGORIES if any(row.category == name for row in rows)]
    figure = Figure(figsize=(13.0, 1.0 + 0.72 * len(categories)), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    totals = [sum(row.category == name for row in rows) for name in categories]
    for place, name in enumerate(categories):
        _bar(axes, place, name, rows, CHARACTERS / max(totals))
        axes.annotate(
            str(totals[place]), (totals[place], place), (5, 0), textcoords="offset points",
            va="center", weight="bold",
        )  # fmt: skip
    axes.set_yticks(range(len(categories)), list(map(spaced, categories)))
    axes.invert_yaxis()
    axes.set_xlim(0, 1.05 * max(totals))
    axes.set_xlabel("entries")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _bar(axes: "Axes", place: int, category: str, rows: Sequence[Row], room: float) -> None:
    """Draw the bar of a category; `room` is the characters that an entry has room for."""
    left = 0
    for number, one in enumerate(sets_in_order(row for row in rows if row.category == category)):
        count = sum(set_of(row) == one for row in rows)
        axes.barh(
            place, count, left=left, height=0.85, color=COLOURS[category],
            alpha=0.45 if number % 2 else 0.7, edgecolor="white", linewidth=1.5,
        )  # fmt: skip
        lines = [*textwrap.wrap(spaced(one[1]), max(1, int(count * room))), str(count)]
        # What does not fit is in the table below.
        if max(map(len, lines)) <= count * room:
            axes.text(
                left + count / 2, place, "\n".join(lines), ha="center", va="center", fontsize=7.5
            )
        left += count
