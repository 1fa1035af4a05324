"""What meta-steps gave, as rows of metrics: one a dispatch, numbers and not arrays.

MLflow takes some 0.1 ms a number: with a row a meta-step it cost `conf/quick.yaml` 4.4 % of its
segments to be tracked, and would cost a device that takes hundreds of them a second far more.
"""

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lopt.meta_training import MetaMetrics

Row = tuple[int, dict[str, float]]
MEANS = ("meta/loss", "imitation/loss")
AVERAGED = (*MEANS, "meta/gradient_", "meta/learning_rate")
"""How the names of all begin that are no counts."""
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

    def of(self, metrics: "MetaMetrics") -> Row:
        """Return the row of a dispatch, which is of its last meta-step; waits for the device.

        It has the sums of the counts and the means of all else.
        """
        row = _of_all([self._whole(row, metrics.families) for row in metrics.rows()])
        row = {name: value for name, value in row.items() if value or not _is_rare(name)}
        last_meta_step = metrics.first_meta_step + metrics.steps - 1
        return last_meta_step, row | self._speed(row["inner/steps"])

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


def _of_all(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the rows of several meta-steps as one."""
    names = dict.fromkeys(name for row in rows for name in row)
    by_name = {name: [row[name] for row in rows if name in row] for name in names}
    return {
        name: _mean(name, values) if name.startswith(AVERAGED) else sum(values)
        for name, values in by_name.items()
    }


def _mean(name: str, values: Sequence[float]) -> float:
    """Return the mean; of losses that of the sound ones, for others are counted by themselves."""
    sound = [value for value in values if math.isfinite(value)]
    known = sound if name.startswith(MEANS) else values
    return sum(known) / len(known) if known else math.nan


def _is_rare(name: str) -> bool:
    """Return whether a metric is only worth a row where it is not 0: there are many of them."""
    return name.startswith(COUNTED_BY_FAMILY)
