"""What is read off a trajectory: one number, of which lower or higher is better."""

import numpy as np
from jaxtyping import Float32, Float64

from lopt.evaluation.cell import Cell
from lopt.evaluation.target import Better

AREA = "area"
"""Mean over the recorded steps, but the first, of log10 of the relative loss; lower is better."""
FINAL = "final"
"""log10 of the relative loss after the last step; lower is better."""

TRAINING_LOSS = "training_loss"
"""The loss after the last step, in the target's own units; lower is better."""

REFERENCE = "Adam"
"""Whose final loss others are to reach; at its best rate for each target."""
SPEED_UP = "speed_up"
"""log2 of how many times fewer steps than Adam's it takes; higher is better."""
SPEED_UP_IN_SECONDS = "speed_up_in_seconds"
"""The same of seconds."""

EPSILON = 1e-6
"""Added to a relative loss before its logarithm, which thus is at least -6."""
CEILING = 2.0
"""What log10 of a relative loss is cut off at, and what it is once a trajectory has diverged."""
UNITS = {
    AREA: "log10(loss / initial loss)",
    FINAL: "log10(loss / initial loss)",
    SPEED_UP: f"log2(steps of {REFERENCE} / steps)",
    SPEED_UP_IN_SECONDS: f"log2(seconds of {REFERENCE} / seconds)",
}


def log_relative_losses(
    losses: Float32[np.ndarray, "*trajectories records"],
) -> Float64[np.ndarray, "*trajectories records"]:
    """Return `log10(f / (f_0 + epsilon) + epsilon)`, from -6 to 2, f_0 being the first loss.

    The paper's meta-objective as its code has it (PAPER.md section 4.1), in decimal
    logarithms; the ceiling is ours, so that one diverging seed costs as much as a loss of a
    hundred times the initial one, and not infinitely more. A negative loss counts as 0.

    **Example**

    ```python
    log_relative_losses(np.float32([10.0, 1.0, np.inf]))  # about 0, -1 and 2
    ```
    """
    losses = np.maximum(losses.astype(np.float64), 0.0)
    first = np.where(np.isfinite(losses[..., :1]), losses[..., :1], 1.0)
    return np.minimum(np.log10(losses / (first + EPSILON) + EPSILON), CEILING)


def measures(cell: Cell) -> tuple[str, ...]:
    """Return the names of all measures of a cell.

    **Example**

    ```python
    measures(cell)  # ("area", "final", "training_loss", "test_loss", "test_accuracy")
    ```
    """
    return (AREA, FINAL, TRAINING_LOSS, *cell.metrics)


def unit(measure: str) -> str:
    """Say what an axis of this measure holds.

    **Example**

    ```python
    unit("area")  # "area: log10(loss / initial loss)"
    ```
    """
    return f"{measure}: {UNITS[measure]}" if measure in UNITS else measure


def better(cell: Cell, measure: str) -> Better:
    """Say whether lower or higher values of a measure are better.

    **Example**

    ```python
    better(cell, "area")  # "lower"
    ```
    """
    return "lower" if measure in (AREA, FINAL, TRAINING_LOSS) else cell.better[measure]


def values(cell: Cell, measure: str) -> Float64[np.ndarray, "rates seeds"]:
    """Return a measure of every trajectory of a cell.

    **Example**

    ```python
    mean_over_seeds = values(cell, "area").mean(axis=1)
    ```
    """
    if measure == AREA:
        return np.asarray(log_relative_losses(cell.losses)[..., 1:].mean(axis=-1))
    if measure == FINAL:
        return np.asarray(log_relative_losses(cell.losses)[..., -1])
    if measure == TRAINING_LOSS:
        return np.asarray(cell.losses[..., -1], np.float64)
    return np.asarray(cell.metrics[measure], np.float64)
