"""A large tensor in pieces that a CPU's caches hold, one after the other."""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

SLAB_SIZE = 2**16
"""In scalars. The dozens of arrays of a whole tensor would be new memory at every step."""
SMALLEST_SLAB = 2**11


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


def _zeros_of(made: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), made)


def _largest_divisor(number: int, at_most: int) -> int:
    return next(divisor for divisor in range(min(number, at_most), 0, -1) if number % divisor == 0)
