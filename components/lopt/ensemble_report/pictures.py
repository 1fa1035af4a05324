"""All pictures of an ensemble, with what they show in words."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from lopt.ensemble_report.beginnings import Beginnings
from lopt.ensemble_report.count_figure import count_figure
from lopt.ensemble_report.landscape_figures import landscape_figures
from lopt.ensemble_report.landscapes import Landscape
from lopt.ensemble_report.spread_figure import spread_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Picture(NamedTuple):
    """An image file that is not on a disk yet."""

    name: str
    """Of the file, such as "counts.png"."""
    png: bytes


def draw_pictures(
    beginnings: Sequence[Beginnings], landscapes: Sequence[Landscape]
) -> tuple[Picture, ...]:
    """Draw everything; without landscapes there is no picture of them.

    **Example**

    ```python
    for picture in draw_pictures(beginnings, landscapes):
        (directory / picture.name).write_bytes(picture.png)
    ```
    """
    drawn = {
        "counts.png": count_figure([one.row for one in beginnings]),
        "beginnings.png": spread_figure(beginnings),
    }
    for number, figure in enumerate(landscape_figures(landscapes), start=1):
        drawn[f"landscapes_{number}.png"] = figure
    return tuple(Picture(name, _png(figure)) for name, figure in drawn.items())


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
