"""Measuring one thing against another on a machine that is never quiet.

A reading of the candidate is divided by a reading of the reference taken just before it, so that
what the rest of the machine does falls on both. The spread over the rounds is part of the result.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

Work = Callable[[int], None]
"""Does the thing to be measured so many times and returns when it is really done."""

SHORTEST_READING = 0.02  # seconds: far above the clock's grain and the cost of a call


@dataclass(frozen=True)
class Reading:
    """Seconds that one update took: on the clock, and of all cores together."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Ratio:
    """How many times the reference's time, over the paired rounds."""

    median: float
    lower_quartile: float
    upper_quartile: float

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.lower_quartile:.3g}-{self.upper_quartile:.3g})"


def repeats_for(work: Work) -> int:
    """Return how often to repeat `work` for a reading that is long enough; runs it as it is."""
    repeats = 1
    while read(work, repeats).wall * repeats < SHORTEST_READING:
        repeats *= 2
    return repeats


def read(work: Work, repeats: int) -> Reading:
    """Take one reading."""
    cpu, wall = time.process_time(), time.perf_counter()
    work(repeats)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Reading(wall / repeats, cpu / repeats)


def ratio(candidates: list[float], references: list[float]) -> Ratio:
    """Divide round by round; the two lists are of the same rounds."""
    ratios = [
        candidate / reference for candidate, reference in zip(candidates, references, strict=True)
    ]
    lower, median, upper = statistics.quantiles(ratios, n=4, method="inclusive")
    return Ratio(median, lower, upper)
