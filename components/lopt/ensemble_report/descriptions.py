"""A spec in words, for headings and tables."""

import functools
import inspect
from collections.abc import Mapping
from typing import Any

from lopt.ensemble_report.styles import number
from lopt.problems.conditions import Conditions
from lopt.problems.constructors import constructors
from lopt.problems.gradient_transforms import GradientTransform

GRADIENTS_ONLY = ("noise", "zeroed")
"""The arguments of `Conditions` that leave the loss as it is."""
PROGRAMS_ONLY = ("padded_to", "samples_room", "batch_room", "batch_padded_to")
"""Arguments that say with what a problem shares its program, and leave the problem as it is."""


def described(spec: Mapping[str, Any]) -> str:
    """Return names and arguments, the innermost problem first, without what changes nothing.

    **Example**

    ```python
    bowl = {"problem": "Bowl", "condition_number": 0.1}
    described({"problem": "Conditions", "logarithm": True, "of": bowl})
    # 'Bowl condition_number=0.1, logarithm'
    ```
    """
    name, inner = spec["problem"], spec.get("of")
    said = ", ".join(_argument(key, value) for key, value in _arguments(spec).items())
    if isinstance(inner, list):
        return f"{name} {said}".strip() + f" ({' + '.join(map(described, inner))})"
    if inner is None:
        return f"{name} {said}".strip()
    # Conditions say themselves what they are; other transforms are known by their names.
    outer = said if name == Conditions.__name__ else f"{name} {said}".strip()
    return ", ".join(part for part in (described(inner), outer) if part)


def loss_only(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec without what is done to gradients but not to the loss.

    **Example**

    ```python
    loss_only({"problem": "GradientNoise", "std": 1.0, "of": bowl})  # bowl
    ```
    """
    name, inner = spec["problem"], spec.get("of")
    if isinstance(inner, Mapping) and issubclass(constructors()[name].make, GradientTransform):
        return loss_only(inner)
    kept = dict(spec)
    if name == Conditions.__name__:
        kept = {key: value for key, value in spec.items() if key not in GRADIENTS_ONLY}
    if isinstance(inner, list):
        kept["of"] = [loss_only(part) for part in inner]
    elif inner is not None:
        kept["of"] = loss_only(inner)
    return kept


def _arguments(spec: Mapping[str, Any]) -> dict[str, Any]:
    defaults = _defaults(spec["problem"])
    return {
        key: value
        for key, value in spec.items()
        if key not in ("problem", "of", *PROGRAMS_ONLY) and defaults.get(key) != value
    }


def _argument(key: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is True:
        return key
    if isinstance(value, float):
        return f"{key}={number(value, 4)}"
    return f"{key}={value}"


@functools.cache
def _defaults(name: str) -> dict[str, Any]:
    parameters = inspect.signature(constructors()[name].make).parameters
    empty = inspect.Parameter.empty
    return {key: one.default for key, one in parameters.items() if one.default is not empty}
