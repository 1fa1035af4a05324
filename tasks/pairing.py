"""A release alone, on every target that it was measured on: what is compared with the champion.

A report is a grid without gaps, so a baseline that has failed costs its target there. Between two
releases that target counts, for both may have been measured on it.
"""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tasks import cells, settings
from tasks.cell_orders import OURS

if TYPE_CHECKING:
    from lopt.evaluation import Cell, Report


def ours_alone(report: "Report") -> "Report":
    """Return the report without baselines, and with the release's cells that are not in it.

    Those lie on this machine, or are missing: then what has failed there is still among the
    failures, and the target not among the targets.

    **Example**

    ```python
    ours_alone(Report.read(folder)).optimizers  # ("learned",)
    ```
    """
    from lopt.evaluation import Report

    found = (*report.of(OURS), *_left_out(report))
    return Report(found, report.facts, report.failures)


def _left_out(report: "Report") -> "Iterator[Cell]":
    from lopt.evaluation.failures import LEFT_OUT

    root = settings.cells_root().resolve()
    for place in json.loads(report.facts.get(LEFT_OUT, "{}")).values():
        directory = (settings.home() / place).resolve()
        # What a report from elsewhere says may lead anywhere.
        one = cells.read_whole(directory) if directory.is_relative_to(root) else None
        if one is not None and one.facts.get("release") == report.facts.get("release"):
            yield from one.of(OURS)
