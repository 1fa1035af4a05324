"""What the constructors of the problems ask for, read from their annotations."""

import functools
import inspect
import typing
from collections.abc import Sequence
from typing import Any, NamedTuple

from lopt import problems
from lopt.catalogue import concrete_classes
from lopt.problems.base import Problem
from lopt.problems.images import LabelledImages


class Constructor(NamedTuple):
    """How a class of problems is made from plain values, a key and inner problems."""

    make: type[Problem]
    values: dict[str, Any]
    """The annotation of each plain argument."""
    required: frozenset[str]
    takes_key: bool
    inner: str | None
    """The argument for one inner problem, if there is one."""
    parts: str | None
    """The argument for a list of inner problems, if there is one."""
    data_set: str | None
    """The argument for a data set, if there is one."""


@functools.cache
def constructors() -> dict[str, Constructor]:
    """Map the name of every problem there is to its constructor.

    **Example**

    ```python
    constructors()["Rescale"].values  # {"scale": float}
    ```
    """
    return {name: _read(made) for name, made in concrete_classes(problems, Problem).items()}


def _read(made: type[Problem]) -> Constructor:
    hints = typing.get_type_hints(made.__init__)
    arguments = inspect.signature(made).parameters
    values = {name: hints[name] for name in arguments if name != "key"}
    inner = _taken_out(values, Problem)
    parts = _taken_out(values, Sequence[Problem])
    data_set = _taken_out(values, LabelledImages)
    required = {name for name in values if arguments[name].default is inspect.Parameter.empty}
    takes_key = "key" in arguments
    return Constructor(made, values, frozenset(required), takes_key, inner, parts, data_set)


def _taken_out(values: dict[str, Any], annotation: object) -> str | None:
    names = [name for name, hint in values.items() if hint == annotation]
    for name in names:
        del values[name]
    return names[0] if names else None
