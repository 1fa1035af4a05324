"""How trajectories begin, set by set, as a picture.

matplotlib is imported inside the functions, and none of its global state is touched.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lopt.ensemble_report.beginnings import Beginnings
from lopt.ensemble_report.styles import COLOURS, set_of, sets_in_order, spaced

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def spread_figure(beginnings: Sequence[Beginnings]) -> "Figure":
    """Draw the first losses and gradient norms of each set: all starts, and boxes of quartiles.

    A logarithmic axis has no zero; how many values are 0 or not finite is written beside it.

    **Example**

    ```python
    spread_figure(beginnings).savefig("beginnings.png")
    ```
    """
    from matplotlib.figure import Figure

    sets = sets_in_order(one.row for one in beginnings)
    parts = [[one for one in beginnings if set_of(one.row) == name] for name in sets]
    figure = Figure(figsize=(13.0, 1.4 + 0.3 * len(sets)), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for place, part in enumerate(parts):
        colour = COLOURS[sets[place][0]]
        _strip(left, place, np.stack([one.losses for one in part]), colour)
        _strip(right, place, np.stack([one.gradient_norms for one in part]), colour)
    names = [f"{name} ({len(part)})" for (_, name), part in zip(sets, parts, strict=True)]
    left.set_yticks(range(len(sets)), names, fontsize="small")
    left.set_ylim(len(sets) - 0.4, -0.6)
    left.set_xlabel("first loss")
    right.set_xlabel("norm of the first gradient")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.grid(visible=True, axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    _legend(figure, [category for category, _ in sets])
    return figure


def _strip(axes: "Axes", place: int, values: np.ndarray, colour: str) -> None:
    """Draw [entries, starts] values around one height, each entry on a line of its own."""
    offsets = np.linspace(-0.3, 0.3, values.shape[0]) if values.shape[0] > 1 else np.zeros(1)
    heights = np.broadcast_to(place + offsets[:, None], values.shape)
    # In float64, since the sum of float32's largest is none of its numbers.
    values = values.astype(np.float64)
    shown = np.isfinite(values) & (values > 0)
    axes.scatter(values[shown], heights[shown], s=6, color=colour, alpha=0.7, linewidths=0)
    if shown.any():
        axes.boxplot(
            values[shown], positions=[place], orientation="horizontal", widths=0.62,
            whis=(0, 100), showfliers=False, manage_ticks=False,
            medianprops={"color": "black", "linewidth": 1.4},
            boxprops={"linewidth": 0.8}, whiskerprops={"linewidth": 0.8},
            showcaps=False,
        )  # fmt: skip
    left_out = {"are 0": (values == 0).sum(), "not finite": (~np.isfinite(values)).sum()}
    words = ", ".join(
        f"{count} of {values.size} {what}" for what, count in left_out.items() if count
    )
    axes.annotate(
        words, (1.0, place), (-2, 0), xycoords=("axes fraction", "data"),
        textcoords="offset points", ha="right", va="center", fontsize="x-small",
        color="#A00000" if left_out["not finite"] else "#555555",
    )  # fmt: skip


def _legend(figure: "Figure", categories: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    patches = [Patch(color=COLOURS[name], label=spaced(name)) for name in dict.fromkeys(categories)]
    figure.legend(
        handles=patches, loc="outside upper center", ncols=len(patches), frameon=False,
        fontsize="small",
    )  # fmt: skip
