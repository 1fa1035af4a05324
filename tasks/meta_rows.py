"""What meta-steps gave, as rows of metrics: one a meta-step, numbers and not arrays."""

import math
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lopt.meta_training import MetaMetrics

Row = tuple[int, dict[str, float]]
MEANS = ("meta/loss", "imitation/loss")
COUNTED_BY_FAMILY = ("meta/nonfinite/", "inner/exploded/")


class MetaRows:
    """Makes rows of what dispatches gave, and adds what only who keeps the time can know.

    The losses of a meta-step are over the groups that it worked on, so where bundles of them
    take turns, the rows have the mean over all families as they were last, once all are known.
    """

    def __init__(self, weights: dict[str, float]) -> None:
        self._weights = weights
        self._losses: dict[str, dict[str, float]] = {name: {} for name in MEANS}
        self._before: float | None = None
        self._compiled = False

    def begin(self) -> None:
        """Begin a segment: from here on the time is that of meta-steps, if all is compiled."""
        self._before = time.monotonic() if self._compiled else None

    def of(self, metrics: "MetaMetrics") -> list[Row]:
        """Return the rows of a dispatch; waits for the device."""
        given = metrics.rows()
        rows = [self._whole(row, metrics.families) for row in given]
        speed = self._speed(sum(row["inner/steps"] for row in given))
        return [(metrics.first_meta_step + index, row | speed) for index, row in enumerate(rows)]

    def _speed(self, inner_steps: float) -> dict[str, float]:
        """Return the inner steps a second since the last dispatch.

        Without the first ones, until all families have been worked on: they were compiled.
        """
        now, before = time.monotonic(), self._before
        self._compiled = set(self._losses["meta/loss"]) == set(self._weights)
        self._before = now if self._compiled else None
        if before is None or now <= before:
            return {}
        return {"inner/steps_per_second": inner_steps / (now - before)}

    def _whole(self, row: dict[str, float], families: tuple[str, ...]) -> dict[str, float]:
        row = {name: value for name, value in row.items() if value or not _is_rare(name)}
        for name in MEANS:
            if name in row:
                of_all = self._mean_of_all(name, row, families)
                row = {key: value for key, value in row.items() if key != name} | of_all
        return row

    def _mean_of_all(
        self, name: str, row: dict[str, float], families: tuple[str, ...]
    ) -> dict[str, float]:
        """Return the mean over all families as they were last, nothing if one is not known.

        Where a family had no sound problem its loss is the one before, and without one it is left
        out.
        """
        last = self._losses[name]
        for family in families:
            loss = row[f"{name}/{family}"]
            last[family] = loss if math.isfinite(loss) else last.get(family, math.nan)
        if set(last) != set(self._weights):
            return {}
        known = {family: loss for family, loss in last.items() if math.isfinite(loss)}
        total = sum(self._weights[family] for family in known)
        weighed = sum(self._weights[family] * loss for family, loss in known.items())
        return {name: weighed / total if total else math.nan}


def _is_rare(name: str) -> bool:
    """Return whether a metric is only worth a row where it is not 0: there are many of them."""
    return name.startswith(COUNTED_BY_FAMILY)
