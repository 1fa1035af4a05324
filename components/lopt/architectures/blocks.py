"""How the scalars of all tensors of a problem lie in memory while an optimizer works on them.

A small problem is one block that holds the scalars of all its tensors one after the other,
so that many tensors cost no more operations than one. A large problem is cut into blocks of
one width, each belonging to one tensor (the last block of a tensor is padded), which are
processed one at a time on a CPU so that what is computed on the way stays in its cache.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

BLOCK_WIDTH = 2048
_ACCELERATOR_BLOCKS_AT_ONCE = 512
_BUNDLE = 64
"""Blocks whose sums are added up together on an accelerator, before those of a tensor are."""


class Extent(NamedTuple):
    """Which of what lies in blocks takes part in sums, and how much that is."""

    valid: Bool[Array, "blocks width"] | None
    """`None` where everything does."""
    counts: Float[Array, " tensors"]
    """Scalars of each tensor that take part."""


@dataclasses.dataclass(frozen=True)
class Blocks:
    """A division of tensors of the given sizes (scalars each, none of them 0) into blocks.

    **Example**

    ```python
    blocks = Blocks((20, 2))
    packed = blocks.pack([jnp.ones(20), jnp.zeros(2)])  # [1, 22]
    ```
    """

    sizes: tuple[int, ...]

    @functools.cached_property
    def together(self) -> bool:
        """Whether one block holds all scalars."""
        return sum(self.sizes) <= 2 * BLOCK_WIDTH

    @functools.cached_property
    def width(self) -> int:
        """Scalars of a block."""
        return sum(self.sizes) if self.together else BLOCK_WIDTH

    @functools.cached_property
    def blocks_of_tensor(self) -> tuple[int, ...]:
        """How many blocks each tensor fills, where blocks belong to one tensor each."""
        return tuple(-(-size // BLOCK_WIDTH) for size in self.sizes)

    @functools.cached_property
    def count(self) -> int:
        """How many blocks there are."""
        return 1 if self.together else sum(self.blocks_of_tensor)

    def pack(self, tensors: Sequence[Float[Array, " _"]]) -> Float[Array, "blocks width"]:
        """Lay the tensors' scalars out in blocks, padded by zeros."""
        if not tensors:
            return jnp.zeros((self.count, self.width), jnp.float32)
        if self.together:
            return jnp.concatenate(tensors)[None]
        padded = [
            jnp.pad(tensor, (0, blocks * self.width - size))
            for tensor, size, blocks in zip(tensors, self.sizes, self.blocks_of_tensor, strict=True)
        ]
        return jnp.concatenate(padded).reshape(self.count, self.width)

    def unpack(self, packed: Float[Array, "blocks width"]) -> list[Float[Array, " _"]]:
        """Undo `pack`."""
        flat, start, tensors = packed.reshape(-1), 0, []
        spans = (
            self.sizes if self.together else tuple(b * self.width for b in self.blocks_of_tensor)
        )
        for size, span in zip(self.sizes, spans, strict=True):
            tensors.append(flat[start : start + size])
            start += span
        return tensors

    def spread(self, per_tensor: Float[Array, "rows tensors"]) -> Float[Array, "blocks rows _"]:
        """Give every block the columns of its tensors: one for the block or one a scalar."""
        if not self.together:
            return per_tensor.T[self._tensor_of_block][:, :, None]
        if len(self.sizes) == 1:
            return per_tensor[None]
        # A product with a constant, where a gather would be slow to differentiate.
        return (per_tensor @ jnp.asarray(self._membership))[None]

    def sum_rows(
        self, rows: Float[Array, "rows width"], valid: Bool[Array, " width"] | None
    ) -> Float[Array, "rows _"]:
        """Sum the rows of one block over its valid scalars, tensor by tensor."""
        if not self.together or len(self.sizes) == 1:
            if valid is None:
                return rows.sum(1, keepdims=True)
            return rows @ valid.astype(jnp.float32)[:, None]
        if valid is not None:
            rows = jnp.where(valid[None], rows, 0.0)
        return rows @ jnp.asarray(self._membership.T)

    def sum_one(
        self, rows: Float[Array, "blocks width"], valid: Bool[Array, "blocks width"] | None
    ) -> Float[Array, "blocks 1 _"]:
        """Do what `sum_rows` does for one row of every block."""
        if self.together or valid is None or jax.default_backend() == "cpu":
            sums: Array = self.map(
                lambda block: self.sum_rows(block[0][None], block[1]), (rows, valid)
            )
            return sums
        return jnp.where(valid, rows, 0.0).sum(1)[:, None, None]

    def mean(
        self, block_sums: Float[Array, "blocks rows _"], counts: Float[Array, " tensors"]
    ) -> Float[Array, "rows tensors"]:
        """Turn what `sum_rows` gave for every block into means over each tensor's scalars."""
        sums = block_sums[0] if self.together else self._sums_of_tensors(block_sums[:, :, 0]).T
        return sums / jnp.maximum(counts, 1.0)[None]

    def extent(self, real: Sequence[Bool[Array, " _"]] | None = None) -> Extent:
        """Say which scalars take part: the tensors' own, but for those that are not `real`."""
        if real is None:
            counts = jnp.asarray(self.sizes, jnp.float32)
            return Extent(None if self.together else self._filled(), counts)
        counts = jnp.stack([tensor.sum().astype(jnp.float32) for tensor in real])
        packed = self.pack([tensor.astype(jnp.float32) for tensor in real])
        return Extent(packed > 0, counts)

    def _sums_of_tensors(self, sums: Float[Array, "blocks rows"]) -> Float[Array, "tensors rows"]:
        owners = self._tensor_of_block
        if jax.default_backend() != "cpu":
            # A GPU adds to one number after the other where many are of one tensor.
            nothing = jnp.zeros((1, sums.shape[1]), sums.dtype)
            sums = jnp.concatenate([sums, nothing])[self._bundles].sum(1)
            owners = owners[self._bundles[:, 0]]
        return jax.ops.segment_sum(sums, owners, len(self.sizes), indices_are_sorted=True)

    @functools.cached_property
    def _bundles(self) -> np.ndarray:
        """The numbers of the blocks of each tensor, in rows, filled up with one of none."""
        firsts = np.cumsum([0, *self.blocks_of_tensor[:-1]])
        rows = []
        for first, count in zip(firsts, self.blocks_of_tensor, strict=True):
            places = np.full(-(-count // _BUNDLE) * _BUNDLE, self.count)
            places[:count] = np.arange(first, first + count)
            rows.append(places.reshape(-1, _BUNDLE))
        return np.concatenate(rows)

    def _filled(self) -> Bool[Array, "blocks width"]:
        """Tell the tensors' scalars from the rest of their last blocks."""
        position = np.concatenate([np.arange(blocks) for blocks in self.blocks_of_tensor])
        left = np.asarray(self.sizes)[self._tensor_of_block] - position * self.width
        return jnp.arange(self.width)[None] < jnp.asarray(left, jnp.int32)[:, None]

    def map(self, function: Callable[..., PyTree], blocks: PyTree) -> PyTree:
        """Apply `function` to every block, few at a time on a CPU, many on an accelerator."""
        if self.count == 1:
            one = function(jax.tree.map(lambda leaf: leaf[0], blocks))
            return jax.tree.map(lambda leaf: leaf[None], one)
        if jax.default_backend() == "cpu":
            return jax.lax.map(function, blocks)
        return jax.lax.map(function, blocks, batch_size=_ACCELERATOR_BLOCKS_AT_ONCE)

    @functools.cached_property
    def _tensor_of_block(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.sizes)), self.blocks_of_tensor)

    @functools.cached_property
    def _membership(self) -> np.ndarray:
        tensor_of_scalar = np.repeat(np.arange(len(self.sizes)), self.sizes)
        tensors = np.arange(len(self.sizes))
        return np.asarray(tensors[:, None] == tensor_of_scalar[None], np.float32)


def blocks_of(params: PyTree) -> Blocks:
    """Return the blocks for the params' tensors; those without elements are left out.

    Raises `TypeError` for a leaf that is not of a floating-point type.

    **Example**

    ```python
    blocks_of({"weights": jnp.ones((4, 5)), "bias": jnp.ones(5)}).sizes  # (5, 20)
    ```
    """
    sizes = []
    for path, leaf in jax.tree.leaves_with_path(params):
        dtype = jnp.result_type(leaf)
        if not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(
                f"The params' leaf {jax.tree_util.keystr(path)} is of type {dtype}, but only "
                "floating-point params can be trained. Mask it with optax.masked."
            )
        if np.size(leaf):
            sizes.append(int(np.size(leaf)))
    return Blocks(tuple(sizes))
