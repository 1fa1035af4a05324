"""An ensemble in tables of text, for whoever shows them: a page, Markdown, a terminal."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lopt.ensemble_entries import CATEGORIES
from lopt.ensemble_report.beginnings import Beginnings
from lopt.ensemble_report.descriptions import described
from lopt.ensemble_report.styles import number, set_of, sets_in_order, spaced
from lopt.ensembles import Row

if TYPE_CHECKING:
    import pandas as pd


def category_table(rows: Sequence[Row]) -> "pd.DataFrame":
    """Return a row for each category and one for all of them.

    Categories share programs, so the programs of all may be fewer than the sum.

    **Example**

    ```python
    category_table(ensemble.rows).columns  # category, entries, weight, programs, sets
    ```
    """
    import pandas as pd

    parts = {spaced(name): [row for row in rows if row.category == name] for name in CATEGORIES}
    lines = [
        {
            "category": name,
            **_counts(part, rows),
            "sets": ", ".join(name for _, name in sets_in_order(part)),
        }
        for name, part in [*parts.items(), ("all", list(rows))]
        if part
    ]
    lines[-1]["sets"] = str(len(sets_in_order(rows)))
    return pd.DataFrame(lines)


def set_table(beginnings: Sequence[Beginnings]) -> "pd.DataFrame":
    """Return a row for each set: counts, sizes, first losses and first gradient norms.

    **Example**

    ```python
    set_table(beginnings).query("category == 'noisy'")
    ```
    """
    import pandas as pd

    rows = [one.row for one in beginnings]
    lines = []
    for category, name in sets_in_order(rows):
        part = [one for one in beginnings if set_of(one.row) == (category, name)]
        lines.append(
            {
                "category": spaced(category),
                "set": name,
                **_counts([one.row for one in part], rows),
                **_measures(part),
            }
        )
    return pd.DataFrame(lines)


def program_table(beginnings: Sequence[Beginnings]) -> "pd.DataFrame":
    """Return a row for each program to compile: who shares it, and the params that it moves.

    **Example**

    ```python
    len(program_table(beginnings))  # how many programs meta-training compiles
    ```
    """
    import pandas as pd

    rows = [one.row for one in beginnings]
    parts = _split(beginnings, lambda one: one.row.program)
    return pd.DataFrame(
        {
            "program": program,
            "families": ", ".join(dict.fromkeys(one.row.family for one in part)),
            "entries": str(len(part)),
            "weight": _share([one.row for one in part], rows),
            "params": _range([one.params for one in part]),
            "tensors": _shapes(part[0].shapes),
        }
        for program, part in parts.items()
    )


def entry_table(beginnings: Sequence[Beginnings]) -> "pd.DataFrame":
    """Return a row for each entry, with its problem in words.

    **Example**

    ```python
    entry_table(beginnings)["problem"].tolist()
    ```
    """
    import pandas as pd

    rows = [one.row for one in beginnings]
    return pd.DataFrame(
        {
            "row": str(one.row.index),
            "set": set_of(one.row)[1],
            "family": one.row.family,
            "problem": described(json.loads(one.row.spec)),
            "weight": _share([one.row], rows),
            **_measures([one]),
        }
        for one in sorted(beginnings, key=lambda one: one.row.index)
    )


def _split(
    beginnings: Iterable[Beginnings], name_of: Callable[[Beginnings], str]
) -> dict[str, list[Beginnings]]:
    parts: dict[str, list[Beginnings]] = {}
    for one in beginnings:
        parts.setdefault(name_of(one), []).append(one)
    return parts


def _counts(part: Sequence[Row], rows: Sequence[Row]) -> dict[str, str]:
    return {
        "entries": str(len(part)),
        "weight": _share(part, rows),
        "programs": str(len({row.program for row in part})),
    }


def _measures(part: Sequence[Beginnings]) -> dict[str, str]:
    losses = np.concatenate([one.losses for one in part])
    norms = np.concatenate([one.gradient_norms for one in part])
    return {
        "params": _range([one.params for one in part]),
        "first loss": _median(losses),
        "first gradient norm": _median(norms),
    }


def _median(values: np.ndarray) -> str:
    finite = values[np.isfinite(values)]
    rest = f", {values.size - finite.size} not finite" if finite.size < values.size else ""
    if not finite.size:
        return rest.removeprefix(", ")
    low, middle, high = np.quantile(finite, [0.0, 0.5, 1.0])
    return f"{number(middle)} ({number(low, 2)} to {number(high, 2)}{rest})"


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _share(part: Sequence[Row], rows: Sequence[Row]) -> str:
    share = sum(row.weight for row in part) / sum(row.weight for row in rows)
    return f"{share:.1%}"


def _shapes(shapes: Sequence[tuple[int, ...]]) -> str:
    return " ".join(f"[{', '.join(map(str, shape))}]" for shape in shapes)
