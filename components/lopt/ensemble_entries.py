"""What a conf may say of an ensemble, and how its distributions become numbers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

DISTRIBUTIONS = ("uniform", "log_uniform", "choice")
CATEGORIES = (
    "two_dimensional",
    "convex",
    "noisy",
    "slow",
    "transformed",
    "networks",
    "algorithms",
    "other",
)
"""The five groups that the paper speaks of (PAPER.md section 5.5), and what is in none."""
DEFAULTS = {"count": 1, "weight": 1.0, "category": "other", "problem_set": ""}
REQUIRED = ("family", "spec")


class EnsembleError(ValueError):
    """An ensemble that cannot be drawn or read: says where, what was found, what is allowed."""


def checked_entry(entry: object, where: str) -> dict[str, Any]:
    """Return an entry of a conf with its defaults filled in.

    Raises `EnsembleError` for a key that is unknown or missing and for a value that is not
    allowed; the spec is checked when it is drawn.

    **Example**

    ```python
    checked_entry({"family": "bowls", "spec": {"problem": "Bowl", ...}}, "entries[0]")
    ```
    """
    allowed = ", ".join([*REQUIRED, *DEFAULTS])
    if not isinstance(entry, Mapping):
        raise EnsembleError(f"{where} must be a mapping with {allowed}, but is {entry!r}.")
    for unknown in [key for key in entry if key not in (*REQUIRED, *DEFAULTS)]:
        raise EnsembleError(
            f"{where}.{unknown}: unknown key with the value {entry[unknown]!r}; allowed: {allowed}."
        )
    for missing in [key for key in REQUIRED if key not in entry]:
        raise EnsembleError(f"{where}.{missing} is missing; given: {', '.join(entry)}.")
    checked = {**DEFAULTS, **entry}
    for key, (is_allowed, wanted) in _RULES.items():
        if not is_allowed(checked[key]):
            raise EnsembleError(f"{where}.{key} must be {wanted}, but is {checked[key]!r}.")
    return checked


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isidentifier()


_RULES = {
    "family": (_is_name, "a name of letters, digits and underscores"),
    "category": (lambda value: value in CATEGORIES, f"one of {', '.join(CATEGORIES)}"),
    "problem_set": (
        lambda value: value == "" or _is_name(value),
        "a name of letters, digits and underscores, or empty",
    ),
    "count": (lambda value: type(value) is int and value >= 1, "a whole number of at least 1"),
    "weight": (lambda value: _is_number(value) and value > 0, "a finite number above 0"),
}


def drawn(value: Any, generator: np.random.Generator, where: str) -> Any:
    """Return `value`, JSON, with every distribution in it replaced by something drawn from it.

    `{"uniform": [low, high]}` and `{"log_uniform": [low, high]}` give a number of six
    significant digits, so that the last bits of another machine's logarithm do not matter;
    `{"choice": [...]}` gives one of the items. Keys are visited in alphabetic order: the order
    in which a conf has them does not matter either.

    Raises `EnsembleError` for a distribution whose arguments make no sense.

    **Example**

    ```python
    drawn({"scale": {"log_uniform": [0.1, 10.0]}}, np.random.default_rng(0), "spec")
    ```
    """
    if isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in DISTRIBUTIONS:
        name, arguments = next(iter(value.items()))
        return _draw(name, arguments, generator, f"{where}.{name}")
    if isinstance(value, Mapping):
        keys = sorted(value, key=str)
        return {key: drawn(value[key], generator, f"{where}.{key}") for key in keys}
    if _is_list(value):
        return [drawn(item, generator, f"{where}[{i}]") for i, item in enumerate(value)]
    return value


def _draw(name: str, arguments: Any, generator: np.random.Generator, where: str) -> Any:
    if name == "choice":
        if not _is_list(arguments) or not arguments:
            raise EnsembleError(f"{where} must be a list of choices, but is {arguments!r}.")
        index = int(generator.integers(len(arguments)))
        return drawn(arguments[index], generator, f"{where}[{index}]")
    low, high = _bounds(arguments, where)
    if name == "uniform":
        return _rounded(generator.uniform(low, high), low, high)
    if low <= 0:
        raise EnsembleError(f"{where} must have bounds above 0, but is {arguments!r}.")
    return _rounded(math.exp(generator.uniform(math.log(low), math.log(high))), low, high)


def _bounds(arguments: Any, where: str) -> tuple[float, float]:
    is_pair = _is_list(arguments) and len(arguments) == 2 and all(map(_is_number, arguments))
    if not is_pair or arguments[0] > arguments[1]:
        raise EnsembleError(f"{where} must be [low, high], two numbers, but is {arguments!r}.")
    return float(arguments[0]), float(arguments[1])


def _rounded(number: float, low: float, high: float) -> float:
    return min(max(float(f"{number:.6g}"), low), high)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
