"""The result of one optimizer on one target, as plain arrays."""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Bool, Float32, Int32

from lopt.evaluation.target import Better


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """All trajectories of one optimizer on one target: every learning rate, every seed.

    Seed `s` means the same problem, initial params and minibatches in every cell of a target.
    A trajectory has diverged if a recorded loss was not finite. From there on its loss is
    infinite, whatever it was later. No value is ever NaN.

    **Example**

    ```python
    final_losses = cell.losses[:, :, -1]  # learning rates x seeds
    ```
    """

    target: str
    optimizer: str
    learning_rates: tuple[float, ...]
    steps: Int32[np.ndarray, " records"]
    """The inner steps after which the loss was recorded, from 0 to the target's last."""
    losses: Float32[np.ndarray, "rates seeds records"]
    metrics: Mapping[str, Float32[np.ndarray, "rates seeds"]]
    """What the target measures at the end; the worst infinity where that was NaN."""
    better: Mapping[str, Better]
    seconds_per_step: float | None = None
    """Seconds of one inner step of one trajectory, recorded losses included and compiling not.

    Trajectories run together: it is the time of all divided by their steps and number. `None`
    where it was not measured.
    """
    timed_together: int | None = None
    """How many trajectories ran together while they were timed; of many each takes less."""

    @property
    def timing(self) -> tuple[float, int] | None:
        """The seconds of a step and how many ran together, `None` where it was not measured."""
        if self.seconds_per_step is None or self.timed_together is None:
            return None
        return self.seconds_per_step, self.timed_together

    @property
    def diverged(self) -> Bool[np.ndarray, "rates seeds"]:
        """Which trajectories have diverged."""
        return np.asarray(~np.isfinite(self.losses[:, :, -1]))

    @property
    def tuned(self) -> bool:
        """Whether the optimizer had several learning rates to choose from."""
        return len(self.learning_rates) > 1

    @property
    def seeds(self) -> int:
        """The number of seeds."""
        return int(self.losses.shape[1])

    def at(self, rate: int) -> "Cell":
        """Return the trajectories at one learning rate, given by its index.

        **Example**

        ```python
        slowest = cell.at(0)
        ```
        """
        return dataclasses.replace(
            self,
            learning_rates=self.learning_rates[rate : rate + 1],
            losses=self.losses[rate : rate + 1],
            metrics={name: value[rate : rate + 1] for name, value in self.metrics.items()},
        )


def timed_alike(cells: Iterable[Cell]) -> bool:
    """Tell whether the seconds of cells can be compared: as many trajectories ran together.

    **Example**

    ```python
    timed_alike(cell for cell in report.cells if cell.target == "digits/mlp")
    ```
    """
    timings = [cell.timing for cell in cells]
    return None not in timings and len({timing and timing[1] for timing in timings}) <= 1
