"""A tensor of any shape as `[batch, rows, columns]`, and means over what of it is no padding."""

import dataclasses
import functools
import math

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


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


def _weighted_mean(values: Float[Array, "..."], take: Bool[Array, "..."], axis: int) -> Array:
    weights = take.astype(jnp.float32)
    total = jnp.maximum(weights.sum(axis, keepdims=True), 1.0)
    return (values * weights).sum(axis, keepdims=True) / total
