"""A problem as JSON: what confs, ensembles and reports say about problems.

`{"problem": "Rescale", "scale": 10.0, "of": {"problem": "Quadratic", "dimensions": 20}}`: the
name of a class, its arguments, and under `of` its inner problem, or the list of its parts. A data
set is said by its name: `{"problem": "ImageMLP", "data_set": "digits"}`. The classes are found by
walking `lopt.problems` and their arguments are read from their constructors, so a new problem
needs no entry here.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from jaxtyping import Array, Key

from lopt.problems.base import Problem
from lopt.problems.constructors import Constructor, constructors
from lopt.problems.images import NO_DATA_SETS, DataSets, LabelledImages


class SpecError(ValueError):
    """A spec that describes no problem: says where, what was found and what is allowed."""


def build(
    spec: Any, key: Key[Array, ""], *, where: str = "spec", data_sets: DataSets = NO_DATA_SETS
) -> Problem:
    """Make the problem that `spec` describes, its random constants drawn by `key`.

    A problem without inner ones gets `key` itself. `data_sets` maps the names that the spec
    may use to data sets. Can be traced, so `jax.eval_shape` checks a spec without drawing
    anything. `where` begins the messages of errors.

    Raises `SpecError` for an unknown problem, for an argument that is unknown, missing, of the
    wrong type or out of range, and for a data set that is not among the given ones.

    **Example**

    ```python
    spec = {"problem": "LogObjective", "of": {"problem": "Bowl", "condition_number": 5.0}}
    problem = build(spec, jax.random.key(0))
    ```
    """
    constructor = _constructor(spec, where)
    arguments = _values(spec, constructor, where)
    inner_specs = _inner_specs(spec, constructor, where)
    keys = jax.random.split(key, 1 + len(inner_specs))
    inner = [
        build(inner_spec, keys[1 + index], where=inner_where, data_sets=data_sets)
        for index, (inner_where, inner_spec) in enumerate(inner_specs.items())
    ]
    if constructor.inner:
        arguments[constructor.inner] = inner[0]
    if constructor.parts:
        arguments[constructor.parts] = inner
    if constructor.data_set:
        arguments[constructor.data_set] = _data_set(spec, constructor.data_set, data_sets, where)
    if constructor.takes_key:
        arguments["key"] = keys[0] if inner else key
    try:
        return constructor.make(**arguments)
    except ValueError as error:
        raise SpecError(f"{where} ({spec['problem']}): {error}") from error


def _constructor(spec: object, where: str) -> Constructor:
    if not isinstance(spec, Mapping) or "problem" not in spec:
        raise SpecError(
            f"{where} must be a mapping with the key 'problem', such as "
            f"{{'problem': 'Bowl', 'condition_number': 5.0}}, but is {spec!r}."
        )
    known = constructors()
    name = spec["problem"]
    if not isinstance(name, str) or name not in known:
        raise SpecError(f"{where}.problem: unknown problem {name!r}; known: {', '.join(known)}.")
    return known[name]


def _values(spec: Mapping[str, Any], constructor: Constructor, where: str) -> dict[str, Any]:
    others = ["of"] if constructor.inner or constructor.parts else []
    others += [constructor.data_set] if constructor.data_set else []
    allowed = [*constructor.values, *others]
    name = spec["problem"]
    for unknown in sorted(set(spec) - {"problem", *allowed}):
        raise SpecError(
            f"{where}.{unknown}: unknown argument of {name}, with the value {spec[unknown]!r}; "
            f"allowed: {', '.join(allowed)}."
        )
    for missing in sorted({*constructor.required, *others} - set(spec)):
        raise SpecError(
            f"{where}.{missing} is missing: {name} needs it; given: {', '.join(sorted(spec))}."
        )
    return {
        argument: _converted(spec[argument], annotation, f"{where}.{argument}")
        for argument, annotation in constructor.values.items()
        if argument in spec
    }


def _inner_specs(spec: Mapping[str, Any], constructor: Constructor, where: str) -> dict[str, Any]:
    """Map the place of every inner spec to the spec."""
    if constructor.inner:
        return {f"{where}.of": spec["of"]}
    if not constructor.parts:
        return {}
    if not _is_list(spec["of"]):
        raise SpecError(f"{where}.of must be a list of problems, but is {spec['of']!r}.")
    return {f"{where}.of[{index}]": part for index, part in enumerate(spec["of"])}


def _data_set(
    spec: Mapping[str, Any], argument: str, data_sets: DataSets, where: str
) -> LabelledImages:
    name = spec[argument]
    if isinstance(name, str) and name in data_sets:
        return data_sets[name]
    raise SpecError(
        f"{where}.{argument} must be the name of a data set that is given, but is {name!r}; "
        f"given: {', '.join(sorted(data_sets)) or 'none'}."
    )


def _converted(value: Any, annotation: Any, where: str) -> Any:
    """Return the JSON value as the constructor's type, or say what was wanted."""
    if annotation is bool and isinstance(value, bool):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if annotation is float and is_number and math.isfinite(value):
        return float(value)
    if annotation is int and is_number and isinstance(value, int):
        return value
    if annotation is str and isinstance(value, str):
        return value
    if annotation == tuple[int, ...] and _is_list(value):
        return tuple(_converted(item, int, f"{where}[{i}]") for i, item in enumerate(value))
    raise SpecError(f"{where} must be {_WANTED[annotation]}, but is {value!r}.")


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


_WANTED = {
    bool: "true or false",
    float: "a finite number",
    int: "a whole number",
    str: "a text",
    tuple[int, ...]: "a list of whole numbers",
}
