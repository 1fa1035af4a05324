"""Which problems can share one compiled program: those that differ in leaf values only."""

import dataclasses
import hashlib
import json
from typing import Any

import equinox as eqx
import jax
import numpy as np

from lopt.problems.base import Problem


def program_digest(problem: Problem) -> str:
    """Return 16 hexadecimal digits that two problems share exactly if they can be stacked.

    Made of class names, static fields, and shapes and dtypes of leaves, not of JAX's or
    Equinox's own descriptions, which change between their versions. Works on what
    `jax.eval_shape` returns, too.

    Raises `TypeError` for a static field of which the description is not the same in every
    process, such as a function.

    **Example**

    ```python
    bowls = [Bowl(condition_number=5.0), Bowl(condition_number=0.1)]
    assert program_digest(bowls[0]) == program_digest(bowls[1])
    ```
    """
    description = json.dumps(_described(problem), sort_keys=True)
    return hashlib.sha256(description.encode()).hexdigest()[:16]


def _described(node: object) -> Any:
    if isinstance(node, eqx.Module):
        fields = {f.name: _described(getattr(node, f.name)) for f in dataclasses.fields(node)}
        return {"class": type(node).__name__, "fields": fields}
    if isinstance(node, jax.Array | np.ndarray | jax.ShapeDtypeStruct):
        return f"{node.dtype}{list(node.shape)}"
    if isinstance(node, tuple | list):
        return [type(node).__name__, *map(_described, node)]
    if isinstance(node, dict):
        # Sorted, as JAX sorts them; pairs, because JSON makes texts of keys that are numbers.
        return ["dict", *([_plain(key), _described(node[key])] for key in sorted(node))]
    return _plain(node)


def _plain(value: object) -> str:
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    raise TypeError(
        f"A program cannot be told by a {type(value).__name__}, because it does not look the same "
        f"in every process: {value!r}. Keep an array in a field for leaves, and a choice as a "
        f"static text or number, such as the name of a function."
    )
