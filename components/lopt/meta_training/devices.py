"""Dividing the problems of a meta-training among devices.

Every device has the whole optimizer and its part of the trajectories; the compiler adds up
what they find (https://docs.jax.dev/en/latest/notebooks/Distributed_arrays_and_automatic_parallelization.html).
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

T = TypeVar("T")

AXIS = "problems"


def problem_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Return a mesh of the given devices, by default all of all processes.

    **Example**

    ```python
    mesh = problem_mesh(jax.devices()[:2])
    ```
    """
    return Mesh(np.asarray(jax.devices() if devices is None else devices), (AXIS,))


def on_all(tree: T, mesh: Mesh | None) -> T:
    """Return a tree of which every device of the mesh has the whole; as it is without a mesh.

    Where the devices are those of several processes, each of them has to give the same tree.

    **Example**

    ```python
    groups = on_all(groups, problem_mesh())
    ```
    """
    return _with(_put, tree, mesh, _whole)


def divided(tree: T, mesh: Mesh | None) -> T:
    """Return an estimator's state with its problems divided among the devices of the mesh.

    Every array with axes has the problems as its first one, those of all devices: where these
    belong to several processes, each of them has to give the same state. As it is without a
    mesh.

    Raises `ValueError` if the number of problems is no multiple of that of the devices.

    **Example**

    ```python
    state = divided(estimator.init(optimizer, group, key), problem_mesh())
    ```
    """
    return _with(_put, tree, mesh, lambda leaf: _by_problem(leaf, mesh))


def kept_divided(tree: T, mesh: Mesh | None) -> T:
    """Do what `divided` does inside a compiled program.

    **Example**

    ```python
    state = kept_divided(estimate.state, mesh)
    ```
    """
    place = jax.lax.with_sharding_constraint
    return _with(place, tree, mesh, lambda leaf: _by_problem(leaf, mesh))


def kept_on_all(tree: T, mesh: Mesh | None) -> T:
    """Do what `on_all` does inside a compiled program.

    **Example**

    ```python
    gradient = kept_on_all(estimate.gradient, mesh)
    ```
    """
    return _with(jax.lax.with_sharding_constraint, tree, mesh, _whole)


def _with(
    place: Callable[[Any, NamedSharding], Any],
    tree: T,
    mesh: Mesh | None,
    spec: Callable[[Any], PartitionSpec],
) -> T:
    if mesh is None:
        return tree
    arrays, rest = eqx.partition(tree, eqx.is_array)
    placed = jax.tree.map(lambda leaf: place(leaf, NamedSharding(mesh, spec(leaf))), arrays)
    together: T = eqx.combine(placed, rest)
    return together


def _put(leaf: Any, sharding: NamedSharding) -> Any:
    if leaf.sharding.is_equivalent_to(sharding, leaf.ndim):
        return leaf
    if sharding.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    if not leaf.is_fully_addressable:
        return jax.jit(_same, out_shardings=sharding)(leaf)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = _put_part(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    return _put_part(leaf, sharding)


# Not a lambda, which would be compiled anew for every leaf of every call.
def _same(leaf: Any) -> Any:
    return leaf


def _put_part(leaf: Any, sharding: NamedSharding) -> Any:
    """Put what this process's devices are to have; `jax.device_put` takes no keys there."""
    whole = np.asarray(leaf)
    return jax.make_array_from_callback(whole.shape, sharding, lambda part: whole[part])


def _whole(leaf: Any) -> PartitionSpec:
    del leaf
    return PartitionSpec()


def _by_problem(leaf: Any, mesh: Mesh | None) -> PartitionSpec:
    if leaf.ndim == 0 or mesh is None:
        return PartitionSpec()
    if leaf.shape[0] % mesh.size:
        raise ValueError(
            f"{leaf.shape[0]} problems cannot be divided among {mesh.size} devices: take a "
            "multiple of their number."
        )
    return PartitionSpec(AXIS)
