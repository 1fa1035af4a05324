"""Panels side by side with one legend below them, where it covers no curve."""

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS_IN_A_ROW = 3
LABELS_IN_A_ROW = 4


def panels(
    count: int, *, width: float = 4.4, height: float = 3.8, share_y: bool = False
) -> "tuple[Figure, list[Axes]]":
    """Return a figure with so many axes, at most three in a row; sizes are in inches.

    **Example**

    ```python
    figure, (left, right) = panels(2)
    ```
    """
    from matplotlib.figure import Figure

    columns = min(count, PANELS_IN_A_ROW)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(width * columns, height * rows + 0.7), dpi=120, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=share_y).reshape(-1)
    for unused in axes[count:]:
        unused.remove()
    return figure, list(axes[:count])


def legend_below(figure: "Figure") -> None:
    """Name each line of the figure once, below all panels.

    **Example**

    ```python
    legend_below(figure)
    ```
    """
    named: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    figure.legend(
        list(named.values()),
        list(named),
        loc="outside lower center",
        ncols=min(len(named), LABELS_IN_A_ROW),
        fontsize="small",
        frameon=False,
    )
