"""A tensor of any shape as `[batch, rows, columns]`: means over it, and slabs that caches hold."""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

SLAB_SIZE = 2**16
"""In scalars. The dozens of arrays of a whole tensor would be new memory at every step."""
SMALLEST_SLAB = 2**11


@dataclasses.dataclass(frozen=True)
class View:
    """How a tensor of the given shape, not empty, is seen.

    Rows and columns are its two longest axes, of equally long ones the later, in the order
    of the tensor; a vector or a scalar is one row.

    **Example**

    ```python
    View((3, 3, 64, 32)).shape  # (9, 64, 32)
    View((5,)).shape  # (1, 1, 5)
    ```
    """

    tensor_shape: tuple[int, ...]

    @functools.cached_property
    def is_matrix(self) -> bool:
        """Whether there are rows and columns."""
        return len(self.tensor_shape) > 1

    @functools.cached_property
    def size(self) -> int:
        """How many scalars the tensor has."""
        return math.prod(self.tensor_shape)

    @functools.cached_property
    def shape(self) -> tuple[int, int, int]:
        """The shape of what is seen."""
        if not self.is_matrix:
            return 1, 1, self.size
        rows, columns = (self.tensor_shape[axis] for axis in self._axes)
        return self.size // (rows * columns), rows, columns

    def see(self, tensor: Array) -> Array:
        """Return the tensor in `shape`; moves no memory if its last two axes are the longest."""
        if self.is_matrix:
            tensor = jnp.moveaxis(tensor, self._axes, (-2, -1))
        return tensor.reshape(self.shape)

    def unsee(self, seen: Array) -> Array:
        """Undo `see`."""
        if not self.is_matrix:
            return seen.reshape(self.tensor_shape)
        batch = [size for axis, size in enumerate(self.tensor_shape) if axis not in self._axes]
        return jnp.moveaxis(seen.reshape(*batch, *self.shape[1:]), (-2, -1), self._axes)

    @functools.cached_property
    def _axes(self) -> tuple[int, int]:
        shape = self.tensor_shape
        by_length = sorted(range(len(shape)), key=lambda axis: (shape[axis], axis))
        first, second = sorted(by_length[-2:])
        return first, second


@dataclasses.dataclass(frozen=True)
class Means:
    """Means over what is seen, in which padding takes no part; 0 where all is padding.

    `valid` is False for padding, or `None` where there is none.

    **Example**

    ```python
    means = Means((1, 2, 2), jnp.array([[[True, False], [True, False]]]))
    means.along(2, jnp.array([[[1.0, 9.0], [3.0, 9.0]]]))  # [[[1], [3]]]
    ```
    """

    shape: tuple[int, int, int]
    valid: Bool[Array, "batch rows columns"] | None = None

    def total(self) -> Float[Array, ""]:
        """Return how many scalars take part, at least 1 since it divides."""
        if self.valid is None:
            return jnp.asarray(math.prod(self.shape), jnp.float32)
        return jnp.maximum(self.valid.astype(jnp.float32).sum(), 1.0)

    def of_all(self, values: Float[Array, "many _ _ _"]) -> Float[Array, " many"]:
        """Average over all scalars; along an axis of length 1 they have the same value."""
        if self.valid is None:
            return values.mean((1, 2, 3))
        weights = self.valid.astype(jnp.float32)
        for axis, size in enumerate(values.shape[1:]):
            if size == 1:
                weights = weights.sum(axis, keepdims=True)
        return (values * weights[None]).sum((1, 2, 3)) / self.total()

    def along(self, axis: int, values: Float[Array, "batch rows columns"]) -> Float[Array, "_ _ _"]:
        """Average the scalars along an axis, which is kept."""
        if self.valid is None:
            return values.mean(axis, keepdims=True)
        return _weighted_mean(values, self.valid, axis)

    def of_lines(self, axis: int, values: Float[Array, "many _ _ _"]) -> Float[Array, "many _ _ _"]:
        """Average what rows (axis 1) or columns (axis 2) have, each for as much as another."""
        if self.valid is None:
            return values.mean(axis + 1, keepdims=True)
        present = self.valid.any(3 - axis, keepdims=True)
        return _weighted_mean(values, present[None], axis + 1)

    def more_rows(self) -> Bool[Array, ""] | bool:
        """Say whether there are more rows than columns; a number to compute if any are padding."""
        if self.valid is None:
            return self.shape[1] > self.shape[2]
        return self.valid.any((0, 2)).sum() > self.valid.any((0, 1)).sum()


@dataclasses.dataclass(frozen=True)
class Slabs:
    """A division of `[batch, rows, columns]` along the batch, or else along the rows.

    All slabs have one shape. It is that of the tensor where the tensor is small or its
    lengths have no fitting divisor, and on an accelerator, which does everything at once.

    **Example**

    ```python
    slabs = Slabs((1, 784, 768))
    squares = slabs.join(slabs.map(jnp.square, slabs.cut(gradient)))
    ```
    """

    shape: tuple[int, int, int]

    @functools.cached_property
    def slab(self) -> tuple[int, int, int]:
        """The shape of a slab."""
        batch, rows, columns = self.shape
        if jax.default_backend() != "cpu" or math.prod(self.shape) <= SLAB_SIZE:
            return self.shape
        if rows * columns <= SLAB_SIZE:
            slab = _largest_divisor(batch, SLAB_SIZE // (rows * columns)), rows, columns
        else:
            slab = 1, _largest_divisor(rows, max(1, SLAB_SIZE // columns)), columns
        return slab if math.prod(slab) >= SMALLEST_SLAB else self.shape

    @functools.cached_property
    def count(self) -> int:
        """How many slabs there are."""
        return math.prod(self.shape) // math.prod(self.slab)

    def cut(self, tensors: PyTree) -> PyTree:
        """Turn `[..., batch, rows, columns]` into `[slabs, ..., batch, rows, columns]`.

        There may be one row, or one column, instead of all.
        """
        return jax.tree.map(self._cut, tensors)

    def join(self, slabs: PyTree) -> PyTree:
        """Undo `cut` for what has the shape of the tensor."""
        return jax.tree.map(lambda leaf: leaf.reshape(self.shape), slabs)

    def map(self, function: Callable[..., PyTree], slabs: PyTree) -> PyTree:
        """Apply `function` to every slab."""
        if self.count == 1:
            one = function(jax.tree.map(lambda leaf: leaf[0], slabs))
            return jax.tree.map(lambda leaf: leaf[None], one)

        def apply(numbered: tuple[Array, PyTree]) -> PyTree:
            index, slab = numbered
            made = jax.eval_shape(function, slab)
            # Always taken. What is inside of a condition XLA does not fuse with the slicing,
            # and only then computes on whole vectors of the CPU: five times as fast.
            return jax.lax.cond(index < self.count, function, lambda _: _zeros_of(made), slab)

        return jax.lax.map(apply, (jnp.arange(self.count), slabs))

    def _cut(self, values: Array) -> Array:
        *many, _, rows, columns = values.shape
        batch, slab_rows, _ = self.slab
        if rows != 1:
            rows = slab_rows
        elif batch == 1:
            values = jnp.repeat(values, self.shape[1] // slab_rows, axis=-3)
        return jnp.moveaxis(values.reshape(*many, self.count, batch, rows, columns), -4, 0)


def _weighted_mean(values: Float[Array, "..."], take: Bool[Array, "..."], axis: int) -> Array:
    weights = take.astype(jnp.float32)
    total = jnp.maximum(weights.sum(axis, keepdims=True), 1.0)
    return (values * weights).sum(axis, keepdims=True) / total


def _zeros_of(made: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), made)


def _largest_divisor(number: int, at_most: int) -> int:
    return next(divisor for divisor in range(min(number, at_most), 0, -1) if number % divisor == 0)
