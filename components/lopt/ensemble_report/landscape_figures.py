"""Contour plots of the problems in the plane.

matplotlib is imported inside the functions, and none of its global state is touched.
"""

import json
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lopt.ensemble_report.descriptions import described, loss_only
from lopt.ensemble_report.landscapes import Landscape
from lopt.ensemble_report.styles import number, set_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS, ROWS = 4, 3
PANEL, GAP = 2.25, 1.1
"""Inches of a panel's sides and between panels, with room for three lines of a title."""
LEVELS = 17
DEEPEST = 1e-6
"""Below this share of the largest loss all contours are one."""
CLOSE = 100.0
"""Losses whose largest is less than so many times their least have evenly spaced levels."""
CHARACTERS = 34


def landscape_figures(landscapes: Sequence[Landscape]) -> "tuple[Figure, ...]":
    """Draw twelve landscapes a figure: losses as contours, starts as dots.

    **Example**

    ```python
    for number, figure in enumerate(landscape_figures(landscapes)):
        figure.savefig(f"landscapes_{number}.png")
    ```
    """
    size = COLUMNS * ROWS
    parts = [landscapes[first : first + size] for first in range(0, len(landscapes), size)]
    return tuple(map(_figure, parts))


def _figure(landscapes: Sequence[Landscape]) -> "Figure":
    from matplotlib.figure import Figure

    rows = -(-len(landscapes) // COLUMNS)
    left, right, bottom, top = 0.5, 0.95, 0.45, 0.6
    width = left + right + COLUMNS * PANEL + (COLUMNS - 1) * GAP
    height = bottom + top + rows * PANEL + (rows - 1) * GAP
    figure = Figure(figsize=(width, height), dpi=110)
    # All panels are alike, so their places are known: a layout engine draws everything twice.
    figure.subplots_adjust(
        left / width, bottom / height, 1 - right / width, 1 - top / height, GAP / PANEL, GAP / PANEL
    )
    panels = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
    for axes, landscape in zip(panels, landscapes, strict=False):
        _contours(axes, landscape)
    for axes in panels[len(landscapes) :]:
        axes.set_axis_off()
    return figure


def _contours(axes: "Axes", landscape: Landscape) -> None:
    from matplotlib.colors import BoundaryNorm

    levels = contour_levels(landscape.losses)
    losses = np.clip(landscape.losses, levels[0], levels[-1])
    norm = BoundaryNorm(levels, 256)
    filled = axes.contourf(landscape.x, landscape.y, losses, levels, cmap="cividis", norm=norm)
    lines = [level for level in levels[1:-1:2] if losses.min() < level < losses.max()]
    if lines:
        axes.contour(
            landscape.x, landscape.y, losses, lines, colors="white", linewidths=0.4, alpha=0.6
        )
    x, y = landscape.starts.T
    axes.scatter(x, y, s=5, color="#D55E00", linewidths=0, alpha=0.9)
    axes.set_xlim(landscape.x[0], landscape.x[-1])
    axes.set_ylim(landscape.y[0], landscape.y[-1])
    axes.set_box_aspect(1)
    axes.set_xlabel("first scalar", fontsize="x-small")
    axes.set_ylabel("second scalar", fontsize="x-small")
    axes.tick_params(labelsize="x-small")
    axes.set_title(title(landscape), fontsize="small")
    beside = axes.inset_axes((1.04, 0.0, 0.05, 1.0))
    bar = axes.figure.colorbar(filled, cax=beside, ticks=levels[::4])
    beside.set_yticklabels([number(level, 2) for level in levels[::4]], fontsize="x-small")
    bar.minorticks_off()


def title(landscape: Landscape) -> str:
    """Return the function and its conditions in words, and in which sets it is.

    **Example**

    ```python
    title(landscape)  # 'Bowl condition_number=5' and below it 'bowl, noisy_bowl: 2 entries'
    ```
    """
    spec = loss_only(json.loads(landscape.rows[0].spec))
    sets = ", ".join(dict.fromkeys(set_of(row)[1] for row in landscape.rows))
    count = len(landscape.rows)
    entries = f"{sets}: {count} {'entry' if count == 1 else 'entries'}"
    lines = [line for text in (described(spec), entries) for line in _wrapped(text)]
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, CHARACTERS, break_long_words=False)


def contour_levels(losses: np.ndarray) -> np.ndarray:
    """Return levels at equal factors, or at equal distances where the losses are close.

    **Example**

    ```python
    axes.contour(losses, contour_levels(losses))
    ```
    """
    finite = losses[np.isfinite(losses)]
    high = float(finite.max(initial=np.finfo(np.float32).tiny))
    low = max(float(finite.min(initial=high)), DEEPEST * high)
    # A function that is the same everywhere has levels, too.
    high = max(high, 1.001 * low)
    spaced_as = np.linspace if high < CLOSE * low else np.geomspace
    return spaced_as(low, high, LEVELS)
