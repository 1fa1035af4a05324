"""Which data sets specs name, so that they can be had before anything is built."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lopt.problems.constructors import constructors


def named_data_sets(specs: Any) -> tuple[str, ...]:
    """Return the names of all data sets in JSON that holds specs, sorted.

    Specs may be anywhere in it, and a name, of a data set or of the problem, may be one of
    several to choose from: all data sets that could be meant are returned. What is no spec is
    passed over, because whoever builds it says so.

    **Example**

    ```python
    spec = {"problem": "ImageMLP", "data_set": {"choice": ["digits", "mnist"]}}
    assert named_data_sets([{"family": "networks", "spec": spec}]) == ("digits", "mnist")
    ```
    """
    return tuple(sorted(set(_names(specs))))


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from _names_of(value)
        for inner in value.values():
            yield from _names(inner)
    elif _is_list(value):
        for item in value:
            yield from _names(item)


def _names_of(spec: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names that a mapping has as the data set of its problem, if it is a spec."""
    made = (constructors().get(problem) for problem in _texts(spec.get("problem")))
    for argument in {one.data_set for one in made if one is not None and one.data_set is not None}:
        yield from _texts(spec.get(argument))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif _is_list(value):
        for item in value:
            yield from _texts(item)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
