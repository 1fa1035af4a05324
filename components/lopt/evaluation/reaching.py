"""How soon an optimizer reaches what Adam ends with, which makes targets comparable."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float32, Float64, Int32

from lopt.evaluation.cell import Cell, timed_alike
from lopt.evaluation.choices import TUNED, Choice, at_end, chosen
from lopt.evaluation.measures import REFERENCE, SPEED_UP, SPEED_UP_IN_SECONDS
from lopt.evaluation.target import Better


def references(cells: Sequence[Cell]) -> dict[str, Cell]:
    """Return Adam at its best rate for each target, by target; nothing where Adam is not.

    **Example**

    ```python
    references(report.cells)["digits/mlp"].learning_rates  # (0.01,)
    ```
    """
    found = [cell for cell in cells if cell.optimizer == REFERENCE]
    return {cell.target: cell for cell in chosen(found, TUNED)} if found else {}


def steps_to_reach(
    losses: Float32[np.ndarray, "*trajectories records"],
    steps: Int32[np.ndarray, " records"],
    levels: Float32[np.ndarray, "*trajectories"],
) -> Float64[np.ndarray, "*trajectories"]:
    """Return the first recorded step, but 0, with a finite loss of at most the level.

    Infinity where there is none, and where both the level and the last loss are infinite: who
    has diverged is never said to have come as far as another who has.

    **Example**

    ```python
    steps_to_reach(cell.losses, cell.steps, 0.1 * cell.losses[..., 0])
    ```
    """
    reached = np.isfinite(losses) & (losses <= levels[..., None])
    reached[..., 0] = False
    reached[np.isinf(levels) & np.isinf(losses[..., -1])] = False
    first = steps[reached.argmax(axis=-1)].astype(np.float64)
    return np.where(reached.any(axis=-1), first, np.inf)


def steps_to_reference(cell: Cell, reference: Cell) -> Float64[np.ndarray, "rates seeds"]:
    """Return how many steps each trajectory takes to the reference's final loss of its seed.

    **Example**

    ```python
    np.median(steps_to_reference(ours, references(report.cells)[ours.target]))
    ```
    """
    levels = np.broadcast_to(reference.losses[..., -1], cell.losses.shape[:-1])
    return steps_to_reach(cell.losses, cell.steps, levels)


def log_speed_up(cell: Cell, reference: Cell) -> Float64[np.ndarray, "rates seeds"]:
    """Return log2 of the reference's number of steps, divided by that of each trajectory.

    Of the steps to the reference's final loss, if the trajectory reaches that. If it does
    not, of the steps in which the reference reaches the trajectory's own final loss, divided
    by all the steps that the trajectory had: so it costs something to stay above, the more
    the higher, and a diverged trajectory is one that came no further than the reference's
    first recorded step. Seeds are paired, and the reference itself has 0.

    Every target has the same unit thus, whatever its losses are, and no value is infinite:
    with n recorded steps they lie from -log2(n) to log2(n). The first case is the time to a
    result of Dahl et al. 2023 (https://arxiv.org/abs/2306.07179). The second is how Metz et
    al. 2022 (https://arxiv.org/abs/2211.09760) normalise by Adam, whom they let run longer.

    **Example**

    ```python
    2 ** log_speed_up(ours, adam).mean()  # 1.5: two thirds of Adam's steps
    ```
    """
    budget = float(cell.steps[-1])
    own, theirs = steps_to_reference(cell, reference), steps_to_reference(reference, reference)
    whole = np.broadcast_to(reference.losses, cell.losses.shape)
    late = steps_to_reach(whole, cell.steps, cell.losses[..., -1])
    reached = np.isfinite(own)
    taken = np.where(reached, own, budget)
    return np.asarray(np.log2(np.minimum(np.where(reached, theirs, late), budget) / taken))


def with_speed_ups(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Return the cells with their speed-ups over Adam among the metrics, where Adam is there.

    Those in seconds are left out on targets whose cells were not all timed alike.

    **Example**

    ```python
    values(with_speed_ups(report.cells)[0], "speed_up").mean()
    ```
    """
    adam = references(cells)
    timed = {
        target: timed_alike(cell for cell in cells if cell.target == target)
        for target in {cell.target for cell in cells}
    }
    return tuple(
        _with_metrics(cell, adam[cell.target], timed=timed[cell.target]) if adam else cell
        for cell in cells
    )


@dataclasses.dataclass(frozen=True)
class Reaching:
    """How many trajectories of an optimizer reach Adam's final loss, and how soon."""

    target: str
    optimizer: str
    choice: Choice
    learning_rate: float
    at_end: bool
    """Whether that was chosen and is the least or the greatest of those tried."""
    trajectories: int
    reached: int
    steps: float
    """Median over the seeds, where a trajectory that never reaches it counts as infinite."""
    seconds: float | None
    """The same, by the seconds of a step; `None` where it and Adam were not timed alike."""


def reachings(
    cells: Sequence[Cell], choice: Choice, adam: Mapping[str, Cell]
) -> Iterator[Reaching]:
    """Yield a row for each target of one optimizer, of which `cells` are all.

    **Example**

    ```python
    rows = list(reachings(report.of("learned"), "default rate", references(report.cells)))
    ```
    """
    for cell in chosen(cells, choice):
        steps = steps_to_reference(cell, adam[cell.target])[0]
        middle = float(np.median(steps))
        pace = cell.seconds_per_step if timed_alike((cell, adam[cell.target])) else None
        yield Reaching(
            target=cell.target,
            optimizer=cell.optimizer,
            choice=choice,
            learning_rate=cell.learning_rates[0],
            at_end=at_end(cell.learning_rates[0], cells[0].learning_rates),
            trajectories=steps.size,
            reached=int(np.isfinite(steps).sum()),
            steps=middle,
            seconds=None if pace is None else middle * pace,
        )


def _with_metrics(cell: Cell, reference: Cell, *, timed: bool) -> Cell:
    speed_up = log_speed_up(cell, reference)
    metrics = {**cell.metrics, SPEED_UP: speed_up.astype(np.float32)}
    if timed and cell.seconds_per_step and reference.seconds_per_step:
        faster = np.log2(reference.seconds_per_step / cell.seconds_per_step)
        metrics[SPEED_UP_IN_SECONDS] = (speed_up + faster).astype(np.float32)
    better: dict[str, Better] = dict(cell.better)
    better |= dict.fromkeys(metrics.keys() - cell.metrics.keys(), "higher")
    return dataclasses.replace(cell, metrics=metrics, better=better)
