"""Sizes with room to spare, so that problems of several sizes share one compiled program."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from lopt.problems.arguments import whole


class Size(eqx.Module):
    """How many entries of an axis are real; the others, up to `room`, are padding.

    `room` fixes shapes, hence it is static; `number` is an int32 leaf, or `None` where nothing
    is padded. Real entries come first. `padded_to` is the room, and 0 stands for no padding,
    whereas a `padded_to` equal to `number` is a program for sizes up to that one.

    Raises `ValueError` if `number` is too small, or larger than a `padded_to` that is not 0.

    **Example**

    ```python
    size = Size("dimensions", 20, padded_to=100)
    assert size.room == 100 and size.is_real().sum() == 20
    ```
    """

    room: int = eqx.field(static=True)
    number: Int[Array, ""] | None

    def __init__(
        self,
        name: str,
        number: int,
        padded_to: int = 0,
        *,
        at_least: int = 1,
        room_argument: str = "padded_to",
    ) -> None:
        whole(name, number, at_least)
        if padded_to != 0 and padded_to < number:
            raise ValueError(
                f"{room_argument} must be 0, which means no padding, or at least {name}, "
                f"which is {number}, but is {padded_to!r}."
            )
        self.room = padded_to or number
        self.number = jnp.asarray(number, jnp.int32) if padded_to else None

    def is_padded(self) -> bool:
        """Say whether there may be padding, which is part of the program."""
        return self.number is not None

    def count(self) -> Int[Array, ""]:
        """Return the number of real entries, int32."""
        return jnp.asarray(self.room, jnp.int32) if self.number is None else self.number

    def is_real(self) -> Bool[Array, " room"]:
        """Tell the real entries from padding."""
        return jnp.arange(self.room, dtype=jnp.int32) < self.count()

    def mask(self, shape: tuple[int, ...], axis: int) -> Bool[Array, "..."]:
        """Return `is_real` along an axis of an array of `shape`, and the same along the others."""
        along = [1] * len(shape)
        along[axis] = self.room
        return jnp.broadcast_to(self.is_real().reshape(along), shape)

    def only_real(self, array: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
        """Return the array with zeros for padding along `axis`; itself if nothing is padded."""
        if not self.is_padded():
            return array
        return jnp.where(self.mask(array.shape, axis), array, jnp.zeros_like(array))

    def valid(self, shape: tuple[int, ...], axis: int) -> Bool[Array, "..."] | None:
        """Return what `Problem.valid` says of params of `shape` that are padded along `axis`."""
        return self.mask(shape, axis) if self.is_padded() else None
