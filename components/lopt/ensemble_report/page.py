"""An ensemble as one HTML file that needs no other."""

import base64
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lopt.ensemble_report.beginnings import Beginnings
from lopt.ensemble_report.landscape_figures import CLOSE
from lopt.ensemble_report.landscapes import STARTS
from lopt.ensemble_report.pictures import Picture
from lopt.ensemble_report.styles import set_of
from lopt.ensemble_report.tables import category_table, entry_table, program_table, set_table
from lopt.web_page import details, document, note, numbers

if TYPE_CHECKING:
    import pandas as pd

STYLE = "<style>.measured td:nth-last-child(-n+2) { white-space: nowrap; }</style>"


class Facts(NamedTuple):
    """What a page says of an ensemble beside its entries."""

    name: str
    digest: str
    seed: int


def ensemble_page(
    facts: Facts, beginnings: Sequence[Beginnings], pictures: Sequence[Picture]
) -> str:
    """Return the page, with the pictures inside.

    **Example**

    ```python
    Path("ensemble.html").write_text(ensemble_page(facts, beginnings, pictures), encoding="utf-8")
    ```
    """
    images = {picture.name: _image(picture) for picture in pictures}
    landscapes = [image for name, image in images.items() if name.startswith("landscapes")]
    starts = beginnings[0].losses.size
    sections = [
        _head(facts, beginnings),
        _warnings(beginnings),
        "<h2>Counts</h2>",
        images["counts.png"],
        _table(category_table([one.row for one in beginnings])),
        note(
            "Weight is the share of the meta-training. A program is counted wherever it is used, "
            "so the programs of all categories may be fewer than their sum."
        ),
        *(_landscapes(landscapes) if landscapes else []),
        "<h2>First losses and gradients</h2>",
        note(
            f"{starts} trajectories on each entry before their first step, each with the problem's "
            "random constants drawn anew. Losses are over all data and free of noise; gradients "
            "are what an optimizer is shown, with the noise of minibatches and of the problem. A "
            "dot is a start, a line of dots an entry, a box the middle half of a set."
        ),
        images["beginnings.png"],
        _table(set_table(beginnings), "measured"),
        note("Medians, and in brackets the least and the largest. Params are counted in scalars."),
        "<h2>Programs to compile</h2>",
        _table(program_table(beginnings)),
        note("Entries of one program differ in numbers only. Tensors are shown with padding."),
        "<h2>Entries</h2>",
        details("All entries, as drawn", _table(entry_table(beginnings), "measured")),
    ]
    return document(f"Ensemble {facts.name}", "\n".join(sections), STYLE)


def _head(facts: Facts, beginnings: Sequence[Beginnings]) -> str:
    rows = [one.row for one in beginnings]
    counts = {
        "entries": len(rows),
        "programs to compile": len({row.program for row in rows}),
        "categories": len({row.category for row in rows}),
        "sets": len({set_of(row) for row in rows}),
        "params at most": max(one.params for one in beginnings),
        "weight in all": sum(row.weight for row in rows),
    }
    named = {pair for row in rows for pair in json.loads(row.data_sets).items()}
    data_sets = "".join(f"<br>{name}, SHA-256 {digest}" for name, digest in sorted(named))
    return (
        f"<h1>Ensemble {html.escape(facts.name)}</h1>\n"
        f'<div class="digest">seed {facts.seed}, SHA-256 {html.escape(facts.digest)}'
        f"{data_sets}</div>\n"
        f"{numbers(counts)}"
    )


def _warnings(beginnings: Sequence[Beginnings]) -> str:
    """Say which losses and gradients are not finite, but for what `check_usable` refuses."""
    losses = {one.row.index: one.losses for one in beginnings}
    norms = {one.row.index: one.gradient_norms for one in beginnings}
    return _warning("loss", losses) + _warning("gradient", norms)


def _warning(what: str, values: Mapping[int, np.ndarray]) -> str:
    found = {index: ~np.isfinite(of_row) for index, of_row in values.items()}
    rows = [
        f"{index} ({where.sum()} of {where.size} starts)"
        for index, where in found.items()
        if where.any()
    ]
    if not rows:
        return ""
    entries, named = ("entry begins", "Row") if len(rows) == 1 else ("entries begin", "Rows")
    return (
        f'<p class="warning"><b>{len(rows)} {entries} with a {what} that is not finite: '
        f"meta-training leaves such trajectories out.</b> {named} {', '.join(rows)}.</p>"
    )


def _landscapes(images: Iterable[str]) -> list[str]:
    return [
        "<h2>Problems in the plane</h2>",
        note(
            "Loss against the two scalars that are trained, with contours at equal factors or, "
            f"where the losses are within {CLOSE:g}-fold, at equal distances. Dots are {STARTS} "
            "draws of where a trajectory begins. Entries that differ in what is done to gradients "
            "only (noise, sparseness) share a plot."
        ),
        *images,
    ]


def _image(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode("ascii")
    return f'<img alt="{html.escape(picture.name)}" src="data:image/png;base64,{data}">'


def _table(table: "pd.DataFrame", kind: str = "") -> str:
    return f'<div class="wide {kind}">{table.to_html(index=False, border=0, justify="unset")}</div>'
