"""Cells as long tables, one row for each number, and back."""

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lopt.evaluation.cell import Cell

if TYPE_CHECKING:
    import pandas as pd

Timing = tuple[float, int] | None
_CELL = ["target", "optimizer"]
_TIMING = ["seconds_per_step", "timed_together"]
_TRAJECTORY = [*_CELL, "learning_rate", "seed"]


def curves_table(cells: Sequence[Cell]) -> "pd.DataFrame":
    """Return a row for each recorded loss: target, optimizer, learning_rate, seed, step, loss.

    **Example**

    ```python
    curves_table(report.cells).groupby(["target", "optimizer", "step"])["loss"].median()
    ```
    """
    import pandas as pd

    frames = [_long(cell, {"step": cell.steps}, "loss", cell.losses) for cell in cells]
    return pd.concat(frames, ignore_index=True)


def finals_table(cells: Sequence[Cell]) -> "pd.DataFrame":
    """Return a row for each metric of each trajectory: ..., seed, metric, better, value.

    **Example**

    ```python
    finals_table(report.cells).query("metric == 'test_accuracy'")
    ```
    """
    import pandas as pd

    frames = [
        _long(cell, {"metric": [name], "better": [cell.better[name]]}, "value", value)
        for cell in cells
        for name, value in cell.metrics.items()
    ]
    empty = pd.DataFrame({name: [] for name in (*_TRAJECTORY, "metric", "better", "value")})
    return pd.concat(frames, ignore_index=True) if frames else empty


def times_table(cells: Sequence[Cell]) -> "pd.DataFrame":
    """Return a row for each cell: target, optimizer, seconds_per_step, timed_together.

    The last says how many trajectories ran together. Both are none where nothing was measured.

    **Example**

    ```python
    times_table(report.cells).set_index(["target", "optimizer"])["seconds_per_step"]
    ```
    """
    import pandas as pd

    rows = [(cell.target, cell.optimizer, *(cell.timing or (None, None))) for cell in cells]
    table = pd.DataFrame(rows, columns=[*_CELL, *_TIMING])
    return table.astype(dict.fromkeys(_TIMING, np.float64))


def rows_table(rows: Sequence[Any]) -> "pd.DataFrame":
    """Return a row for each of some dataclasses of one kind, with their properties, too.

    **Example**

    ```python
    rows_table(report.differences("learned", "area"))["verdict"]
    ```
    """
    import pandas as pd

    return pd.DataFrame([{**dataclasses.asdict(row), **_properties(row)} for row in rows])


def cells_from_tables(
    curves: "pd.DataFrame", finals: "pd.DataFrame", times: "pd.DataFrame"
) -> tuple[Cell, ...]:
    """Return the cells that the three tables were made of, in the order they have there.

    **Example**

    ```python
    cells_from_tables(curves_table(cells), finals_table(cells), times_table(cells))
    ```
    """
    metrics = dict(iter(finals.groupby(_CELL, sort=False)))
    pairs = zip(times["target"], times["optimizer"], strict=True)
    timed: dict[Any, Timing] = dict(zip(pairs, _timings(times), strict=True))
    return tuple(
        _cell(curve, metrics.get(pair, finals[:0]), timed[pair])
        for pair, curve in curves.groupby(_CELL, sort=False)
    )


def _timings(times: "pd.DataFrame") -> list[Timing]:
    pairs = zip(*(times[name] for name in _TIMING), strict=True)
    return [None if np.isnan(seconds) else (float(seconds), int(many)) for seconds, many in pairs]


def _properties(row: object) -> dict[str, object]:
    found = inspect.getmembers(type(row), lambda member: isinstance(member, property))
    return {name: getattr(row, name) for name, _ in found}


def _long(
    cell: Cell, more: Mapping[str, Sequence[object] | np.ndarray], name: str, values: np.ndarray
) -> "pd.DataFrame":
    import pandas as pd

    trajectory = ([cell.target], [cell.optimizer], cell.learning_rates, range(cell.seeds))
    index = pd.MultiIndex.from_product([*trajectory, *more.values()], names=[*_TRAJECTORY, *more])
    return pd.DataFrame({name: values.reshape(-1)}, index=index).reset_index()


def _cell(curve: "pd.DataFrame", finals: "pd.DataFrame", timing: Timing) -> Cell:
    rates, seeds = tuple(curve["learning_rate"].unique().tolist()), curve["seed"].nunique()
    losses = curve["loss"].to_numpy(np.float32).reshape(len(rates), seeds, -1)
    parts = {str(name): part for name, part in finals.groupby("metric", sort=False)}
    return Cell(
        target=curve["target"].iloc[0],
        optimizer=curve["optimizer"].iloc[0],
        learning_rates=rates,
        steps=curve["step"].unique().astype(np.int32),
        losses=losses,
        metrics={
            name: part["value"].to_numpy(np.float32).reshape(len(rates), seeds)
            for name, part in parts.items()
        },
        better={name: part["better"].iloc[0] for name, part in parts.items()},
        seconds_per_step=timing and timing[0],
        timed_together=timing and timing[1],
    )
