"""The state of a meta-training that is divided among the devices of several processes."""

from typing import TypeVar

import equinox as eqx
import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lopt.packed_state import PackedState, pack, unpack

T = TypeVar("T")


def gathered(tree: T, mesh: Mesh | None) -> T:
    """Return a tree of which this process has every array whole, on a device of its own.

    So it can be saved by one process alone. Parts are sent between the processes: all of them
    have to call this with the same tree. As it is where one process has all devices.

    **Example**

    ```python
    checkpoints.save(100, gathered(meta_state, mesh), facts)
    ```
    """
    if mesh is None or not mesh.is_multi_process:
        return tree
    arrays, rest = eqx.partition(tree, eqx.is_array)
    # One program for all of them: hundreds of small ones would take seconds to compile.
    on_each = jax.jit(_same, out_shardings=NamedSharding(mesh, PartitionSpec()))(arrays)
    whole: T = eqx.combine(jax.tree.map(lambda leaf: leaf.addressable_data(0), on_each), rest)
    return whole


def from_first(tree: T) -> T:
    """Return the tree of process 0, whose arrays are sent to the others bit for bit.

    All processes have to call this, each with a tree of the same structure, shapes and dtypes,
    and on as many devices as the others. As it is where there is one process.

    **Example**

    ```python
    meta_state = from_first(restored if jax.process_index() == 0 else initial)
    ```
    """
    if jax.process_count() == 1:
        return tree
    packed = pack(tree)
    # As bytes, for sending is adding zeros to it, which makes of -0.0 another number.
    sent = multihost_utils.broadcast_one_to_all(_bytes(packed))
    return tree if jax.process_index() == 0 else unpack(_with_bytes(packed, sent), like=tree)


def _same(tree: T) -> T:
    return tree


def _bytes(packed: PackedState) -> np.ndarray:
    parts = [np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in packed.arrays]
    return np.concatenate(parts)


def _with_bytes(packed: PackedState, sent: np.ndarray) -> PackedState:
    ends = np.cumsum([array.nbytes for array in packed.arrays])
    parts = np.split(np.asarray(sent), ends[:-1])
    arrays = [
        part.view(array.dtype).reshape(array.shape)
        for part, array in zip(parts, packed.arrays, strict=True)
    ]
    return PackedState(packed.listing, arrays)
