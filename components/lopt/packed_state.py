"""A pytree as a list of plain numpy arrays and a JSON list that says what they are."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from lopt.named_leaves import named_leaves, replace_named_leaves

T = TypeVar("T")


class CheckpointError(ValueError):
    """A checkpoint that cannot be written or must not be used; says which one and why."""


class PackedState(NamedTuple):
    """The arrays of a pytree, and for each of them name, shape, dtype and PRNG implementation.

    Typed PRNG keys are kept as their uint32 data.
    """

    listing: list[dict[str, Any]]
    arrays: list[np.ndarray]

    def digest(self, facts: Mapping[str, Any]) -> str:
        """Return the SHA-256 (hexadecimal) over every byte of the arrays and over `facts`.

        **Example**

        ```python
        assert pack(state).digest({"conf": "a"}) != pack(state).digest({"conf": "b"})
        ```
        """
        sha256 = hashlib.sha256(json.dumps([self.listing, facts], sort_keys=True).encode())
        for array in self.arrays:
            sha256.update(array.tobytes())
        return sha256.hexdigest()


def pack(state: Any) -> PackedState:
    """Return the arrays of `state` but for those without elements; other leaves are left out.

    Raises `CheckpointError` for a leaf that is a Python number: restoring would take it from
    the program and not from the checkpoint.

    **Example**

    ```python
    packed = pack({"params": jnp.zeros(3), "key": jax.random.key(0)})
    ```
    """
    leaves = _array_leaves(state)
    return PackedState(_listing(leaves), [_to_numpy(leaf) for leaf in leaves.values()])


def unpack(packed: PackedState, like: T) -> T:
    """Return `like` with the arrays of `packed` in place of its own.

    Leaves of `like` may be `jax.ShapeDtypeStruct`s. Raises `CheckpointError` naming the first
    leaf that is missing, not expected, or of another shape or dtype.

    **Example**

    ```python
    state = unpack(pack(state), like=state)
    ```
    """
    expected = _array_leaves(like)
    found = {entry["name"]: (entry["shape"], entry["dtype"]) for entry in packed.listing}
    _check_fits(found, {name: _form(leaf) for name, leaf in expected.items()})
    stored = zip(packed.listing, packed.arrays, strict=True)
    return replace_named_leaves(
        like,
        {e["name"]: _from_numpy(array, e["impl"], expected[e["name"]]) for e, array in stored},
    )


def _array_leaves(state: Any) -> dict[str, Any]:
    leaves = named_leaves(state)
    for name, leaf in leaves.items():
        if isinstance(leaf, bool | int | float | complex | np.generic):
            raise CheckpointError(
                f"Leaf {name!r} is the number {leaf!r} of type {type(leaf).__name__}. A checkpoint "
                "carries arrays: make it jnp.asarray(...), or a static field if it never changes."
            )
    return {name: leaf for name, leaf in leaves.items() if _is_stored(leaf)}


def _is_stored(leaf: Any) -> bool:
    is_array = isinstance(leaf, jax.Array | np.ndarray | jax.ShapeDtypeStruct)
    # Orbax refuses arrays without elements, and they have nothing to store.
    return is_array and bool(leaf.size)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _form(leaf: Any) -> tuple[list[int], str]:
    return list(leaf.shape), leaf.dtype.name


def _listing(leaves: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "shape": list(leaf.shape),
            "dtype": leaf.dtype.name,
            "impl": str(jax.random.key_impl(leaf)) if _is_key(leaf) else None,
        }
        for name, leaf in leaves.items()
    ]


def _to_numpy(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _from_numpy(array: np.ndarray, impl: str | None, like: Any) -> Any:
    if isinstance(like, np.ndarray):
        return array
    # A copy: JAX may otherwise share the buffer, which donation would then write into.
    leaf = jnp.array(array)
    if impl is not None:
        leaf = jax.random.wrap_key_data(leaf, impl=impl)
    is_placed = isinstance(like, jax.Array) and like.committed
    return jax.device_put(leaf, like.sharding) if is_placed else leaf


def _check_fits(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for name in [*expected, *found]:
        if found.get(name) != expected.get(name):
            raise CheckpointError(
                f"leaf {name!r} is {_say(found.get(name))} in the checkpoint, but "
                f"{_say(expected.get(name))} in this program. Go on with the conf and the version "
                "of lopt that wrote it, or begin in another directory."
            )


def _say(form: tuple[list[int], str] | None) -> str:
    return "missing" if form is None else f"{form[1]}{form[0]}"
