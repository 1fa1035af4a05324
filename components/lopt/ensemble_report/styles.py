"""The colours and the order of the categories, the same in every picture."""

from collections.abc import Iterable

from lopt.ensemble_entries import CATEGORIES
from lopt.ensembles import Row

COLOURS = {
    "two_dimensional": "#0072B2",
    "convex": "#009E73",
    "noisy": "#E69F00",
    "slow": "#CC79A7",
    "transformed": "#56B4E9",
    "networks": "#D55E00",
    "algorithms": "#595959",
    "other": "#B3B3B3",
}
"""Okabe and Ito's and two greys, which people with any kind of colour vision tell apart."""


def set_of(row: Row) -> tuple[str, str]:
    """Return the category of a row and its set, or its family where it belongs to no set.

    **Example**

    ```python
    category, name = set_of(row)
    ```
    """
    return row.category, row.problem_set or row.family


def sets_in_order(rows: Iterable[Row]) -> tuple[tuple[str, str], ...]:
    """Return the sets that there are by category, and as the ensemble has them within one.

    **Example**

    ```python
    sets_in_order(ensemble.rows)[0]  # ("two_dimensional", "optimization_test")
    ```
    """
    found = dict.fromkeys(map(set_of, rows))
    return tuple(sorted(found, key=lambda one: CATEGORIES.index(one[0])))


def spaced(name: str) -> str:
    """Write a name as words.

    **Example**

    ```python
    spaced("two_dimensional")  # 'two dimensional'
    ```
    """
    return name.replace("_", " ")


def number(value: float, digits: int = 3) -> str:
    """Write a number with that many significant digits, and as short as that can be.

    **Example**

    ```python
    number(612345.0, 2)  # '6.1e5'
    ```
    """
    rounded = float(f"{value:.{digits}g}")
    if 1e-4 <= abs(rounded) < 1e4:
        return f"{rounded:.10g}"
    mantissa, _, exponent = f"{rounded:.{digits}g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa
