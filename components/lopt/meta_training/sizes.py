"""Whether the problems of groups are small, which is asked at every dispatch."""

import functools
from collections.abc import Sequence
from typing import Any

import jax

from lopt.ensembles import Group
from lopt.side_by_side import are_small


def all_small(groups: Sequence[Group]) -> bool:
    """Tell whether all problems are so small that they lie side by side.

    **Example**

    ```python
    all_small(ensemble.groups())  # False, if there is a network
    ```
    """
    return all(_is_small(group) for group in groups)


def _is_small(group: Group) -> bool:
    leaves, structure = jax.tree.flatten(group.problems)
    forms = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
    return _is_small_of_form(structure, forms, group.size)


@functools.cache
def _is_small_of_form(
    structure: Any, forms: tuple[tuple[tuple[int, ...], Any], ...], size: int
) -> bool:
    problems = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*form) for form in forms])
    keys = jax.ShapeDtypeStruct((size,), jax.random.key(0).dtype)
    params = jax.eval_shape(jax.vmap(lambda one, key: one.init(key)), problems, keys)
    return are_small(params)
