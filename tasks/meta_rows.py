"""What meta-steps gave, as rows of metrics: one a meta-step, numbers and not arrays."""

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lopt.meta_training import MetaMetrics

Row = tuple[int, dict[str, float]]
COUNTED_BY_FAMILY = ("meta/nonfinite/", "inner/exploded/")


class MetaRows:
    """Makes rows of what dispatches gave, and adds what only who keeps the time can know.

    The loss of a meta-step is over the groups that it worked on, so where bundles of them take
    turns, the rows have the mean over all families as they were last, once all are known.
    """

    def __init__(self, weights: dict[str, float]) -> None:
        self._weights = weights
        self._losses: dict[str, float] = {}
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
        self._compiled = set(self._losses) == set(self._weights)
        self._before = now if self._compiled else None
        if before is None or now <= before:
            return {}
        return {"inner/steps_per_second": inner_steps / (now - before)}

    def _whole(self, row: dict[str, float], families: tuple[str, ...]) -> dict[str, float]:
        self._losses |= {family: row[f"meta/loss/{family}"] for family in families}
        row = {name: value for name, value in row.items() if value or not _is_rare(name)}
        if set(self._losses) != set(self._weights):
            return {name: value for name, value in row.items() if name != "meta/loss"}
        total = sum(self._weights.values())
        loss = sum(self._weights[name] * loss for name, loss in self._losses.items()) / total
        return row | {"meta/loss": loss}


def _is_rare(name: str) -> bool:
    """Return whether a metric is only worth a row where it is not 0: there are many of them."""
    return name.startswith(COUNTED_BY_FAMILY)
