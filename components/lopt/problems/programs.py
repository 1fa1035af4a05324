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
    return repr(node)
