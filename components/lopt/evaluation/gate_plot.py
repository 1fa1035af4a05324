"""A ruling as a picture: by how much the challenger differs on each target, with intervals."""

from typing import TYPE_CHECKING, Final

import numpy as np

from lopt.evaluation.gate import Ruling

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS: Final = {"better": "#009E73", "worse": "#D55E00", "undecided": "#777777"}


def ruling_figure(ruling: Ruling) -> "Figure":
    """Draw the difference of each target and of their mean, left of zero being better.

    Lines are 95 % bootstrap intervals; beyond the dashed line a target would be refused for.

    **Example**

    ```python
    ruling_figure(rule(report, "new", "old", 0.1)).savefig("gate.png")
    ```
    """
    from matplotlib.figure import Figure

    gaps = [*ruling.targets, ruling.mean]
    figure = Figure(figsize=(8.0, 1.6 + 0.35 * len(gaps)), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for place, gap in enumerate(reversed(gaps)):
        whole = gap is ruling.mean
        axes.plot([gap.low, gap.high], [place, place], color=COLOURS[gap.verdict], linewidth=2)
        marker = "D" if whole else "o"
        axes.plot([gap.value], [place], marker, color=COLOURS[gap.verdict], markersize=7)
    axes.axvline(0.0, color="black", linewidth=1)
    axes.axvline(ruling.tolerance, color=COLOURS["worse"], linestyle="--", linewidth=1)
    names = ["mean over targets" if gap is ruling.mean else gap.target for gap in gaps]
    axes.set_yticks(np.arange(len(gaps)), names[::-1])
    axes.set_xlabel(
        f"area of {ruling.challenger} minus that of {ruling.champion} (decades of loss)\n"
        f"less is better; dashed: what is tolerated on a target"
    )
    axes.set_title("better" if ruling.promoted else "refused", loc="left")
    axes.grid(visible=True, axis="x", alpha=0.3)
    return figure
