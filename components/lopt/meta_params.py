"""The numeric part of a release: named arrays to safetensors bytes and back, checked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from lopt.named_leaves import describe
from lopt.release_config import GET_AGAIN, ReleaseError, check_names

# safetensors declares no types for this function.
_deserialize: Any = safetensors.deserialize
# safetensors.numpy writes bfloat16 but cannot read it (0.8.0), so bytes are read by this table.
_DTYPES = {
    "BF16": jnp.bfloat16,
    "F16": jnp.float16,
    "F32": jnp.float32,
    "F64": jnp.float64,
    "I32": jnp.int32,
    "U32": jnp.uint32,
    "BOOL": jnp.bool_,
}


def encode(arrays: Mapping[str, jax.Array]) -> bytes:
    """Return the arrays as the bytes of a safetensors file; equal arrays give equal bytes.

    Raises `ReleaseError` for a dtype that a release does not carry.

    **Example**

    ```python
    data = encode({"weight": jnp.zeros((2, 3))})
    ```
    """
    known = {np.dtype(dtype).name for dtype in _DTYPES.values()}
    for name, array in arrays.items():
        if array.dtype.name not in known:
            raise ReleaseError(
                f"Meta-param {name!r} is {array.dtype.name}; a release carries only "
                f"{', '.join(sorted(known))}."
            )
    return safetensors.numpy.save({name: np.asarray(array) for name, array in arrays.items()})


def decode(data: bytes, expected: Mapping[str, Any], path: Path) -> dict[str, jax.Array]:
    """Return the arrays in `data`, which must be those `expected` describes, and finite.

    `path` is only for the messages. Raises `ReleaseError` naming the first array that is
    missing, not expected, of another shape or dtype, or not finite.

    **Example**

    ```python
    arrays = decode(path.read_bytes(), describe(arrays), path)
    ```
    """
    try:
        tensors = dict(_deserialize(data))
    except safetensors.SafetensorError as error:
        raise ReleaseError(f"{path} is not a safetensors file ({error}). {GET_AGAIN}") from error
    arrays = {name: _to_numpy(name, tensor, path) for name, tensor in tensors.items()}
    check_listing(describe(arrays), expected, path)
    for name, array in arrays.items():
        _check_finite(name, array, path)
    return {name: jnp.asarray(array) for name, array in arrays.items()}


def check_listing(found: Mapping[str, Any], expected: Mapping[str, Any], path: Path) -> None:
    """Raise `ReleaseError` unless both describe the same arrays, naming the first difference.

    **Example**

    ```python
    check_listing(describe(arrays), config.meta_params, path)
    ```
    """
    check_names(found, expected, f"{path}: the list of meta-params")
    for name, description in expected.items():
        if found[name] != description:
            raise ReleaseError(
                f"{path}: meta-param {name!r} is {found[name]}, but should be {description}. "
                + GET_AGAIN
            )


def _to_numpy(name: str, tensor: Mapping[str, Any], path: Path) -> np.ndarray:
    if tensor["dtype"] not in _DTYPES:
        raise ReleaseError(
            f"{path}: meta-param {name!r} has the dtype {tensor['dtype']}, which a release does "
            f"not carry; known: {', '.join(_DTYPES)}. {GET_AGAIN}"
        )
    dtype = np.dtype(_DTYPES[tensor["dtype"]])
    return np.frombuffer(tensor["data"], dtype).reshape(tensor["shape"])


def _check_finite(name: str, array: np.ndarray, path: Path) -> None:
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        return
    count = int(np.sum(~np.isfinite(array)))
    if count:
        raise ReleaseError(
            f"{path}: meta-param {name!r} has {count} values of {array.size} that are not finite. "
            "The meta-training diverged; release an earlier checkpoint."
        )
