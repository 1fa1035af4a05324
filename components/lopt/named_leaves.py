"""The leaves of a pytree under names that can be written to a file and told to a person."""

from collections.abc import Mapping
from typing import Any, TypeVar

import jax

T = TypeVar("T")


def named_leaves(tree: Any) -> dict[str, Any]:
    """Map the dotted path of every leaf ("parameter_cell.weight") to the leaf, in tree order.

    Raises `ValueError` if two leaves have one name, as `{"a.b": 1, "a": {"b": 2}}` has.

    **Example**

    ```python
    shapes = {name: leaf.shape for name, leaf in named_leaves(optimizer).items()}
    ```
    """
    paths_and_leaves = jax.tree_util.tree_leaves_with_path(tree)
    names = [_name(path) for path, _ in paths_and_leaves]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"Two leaves of the tree are called {twice!r}; rename a key of its dicts.")
    return {name: leaf for name, (_, leaf) in zip(names, paths_and_leaves, strict=True)}


def describe(leaves: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the shape and dtype of every leaf, as JSON; a typed key has the dtype "key<fry>".

    **Example**

    ```python
    describe({"weight": jnp.zeros((2, 3))})  # {"weight": {"shape": [2, 3], "dtype": "float32"}}
    ```
    """
    return {
        name: {"shape": list(leaf.shape), "dtype": leaf.dtype.name} for name, leaf in leaves.items()
    }


def replace_named_leaves(tree: T, replacements: Mapping[str, Any]) -> T:
    """Return `tree` with the leaves of these names replaced, the others as they are.

    **Example**

    ```python
    optimizer = replace_named_leaves(skeleton, {"parameter_cell.weight": weight})
    ```
    """
    replaced: T = jax.tree_util.tree_map_with_path(
        lambda path, leaf: replacements.get(_name(path), leaf), tree
    )
    return replaced


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")
