"""Panels side by side with one legend below them, where it covers no curve."""

import math
from collections.abc import Mapping
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
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.06)
    columns = min(count, PANELS_IN_A_ROW)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(width * columns, height * rows + 0.7), dpi=120, layout=layout)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=share_y).reshape(-1)
    for unused in axes[count:]:
        unused.remove()
    return figure, list(axes[:count])


def panel_title(target: str, words: Mapping[str, str]) -> str:
    """Return what stands above the panel of a target: words for it, if there are, and its name.

    **Example**

    ```python
    axes.set_title(panel_title("digits/mlp-relu", {"digits/mlp-relu": "another activation"}))
    ```
    """
    return f"{words[target]}\n{target}" if target in words else target


def plain_logarithms(axes: "Axes") -> None:
    """Make the y axis logarithmic, with numbers as one writes them: 0.6, not 6 x 10^-1.

    **Example**

    ```python
    plain_logarithms(axes)
    ```
    """
    from matplotlib.ticker import FuncFormatter, LogFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    # Numbers between powers of ten only where less than one of those is seen.
    axes.yaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(1.0, 0.4)))
    axes.tick_params(axis="y", which="minor", labelsize="small")


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
