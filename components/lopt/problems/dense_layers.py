"""Fully connected layers, of widths that may be padded."""

import itertools
from collections.abc import Sequence

import equinox as eqx
from jaxtyping import Array, Float, Key

from lopt.problems.activations import Activation
from lopt.problems.base import Params
from lopt.problems.initial_weights import Initialization, standard_normals
from lopt.problems.padding import Size


class DenseLayers(eqx.Module):
    """What leads from inputs of the first size to outputs of the last, by the others.

    `activation` follows every layer but the last. Params: a tuple of (weights, bias), float32
    `[room of inputs, room of outputs]` and `[room of outputs]`.

    **Example**

    ```python
    sizes = (Size("inputs", 64), Size("hidden", 20, padded_to=32), Size("classes", 10))
    layers = DenseLayers(sizes, Activation("relu"), Initialization("he"))
    logits = layers(layers.init(jax.random.key(0)), jnp.ones((5, 64)))
    ```
    """

    sizes: tuple[Size, ...]
    activation: Activation
    initialization: Initialization

    def init(self, key: Key[Array, ""]) -> Params:
        """Draw the params; padding is 0."""
        pairs = list(itertools.pairwise(self.sizes))
        shapes = [shape for into, out in pairs for shape in ((into.room, out.room), (out.room,))]
        normals = iter(standard_normals(key, shapes))
        return tuple(self._begun(into, out, next(normals), next(normals)) for into, out in pairs)

    def _begun(
        self, into: Size, out: Size, weights: Float[Array, "into out"], bias: Float[Array, " out"]
    ) -> Params:
        deviation = self.initialization.of_weights(into.count(), out.count())
        weights = into.only_real(out.only_real(deviation * weights, 1), 0)
        return weights, out.only_real(self.initialization.of_biases() * bias, 0)

    def __call__(
        self, params: tuple[tuple[Array, Array], ...], units: Float[Array, "samples inputs"]
    ) -> Float[Array, "samples outputs"]:
        for size, (weights, bias) in zip(self.sizes[1:-1], params[:-1], strict=True):
            # Not every activation makes 0 of 0.
            units = size.only_real(self.activation(units @ weights + bias[None, :]), 1)
        weights, bias = params[-1]
        return units @ weights + bias[None, :]

    def valid(self) -> Params | None:
        """Tell the params from padding, as `Problem.valid` does."""
        if not any(size.is_padded() for size in self.sizes):
            return None
        pairs = itertools.pairwise(self.sizes)
        return tuple(
            (into.mask(shape, 0) & out.mask(shape, 1), out.is_real())
            for into, out in pairs
            for shape in [(into.room, out.room)]
        )


def hidden_sizes(name: str, widths: Sequence[int], padded_to: int) -> tuple[Size, ...]:
    """Return a size for each of `widths`, all with the same room.

    Raises `ValueError` for a width below 1, or above a `padded_to` that is not 0.

    **Example**

    ```python
    sizes = hidden_sizes("hidden", (32, 16), padded_to=32)
    ```
    """
    return tuple(Size(name, width, padded_to) for width in widths)
