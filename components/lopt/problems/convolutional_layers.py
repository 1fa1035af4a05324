"""Convolutional layers and a read-out, of numbers of filters that may be padded."""

import itertools

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from lopt.problems.activations import Activation
from lopt.problems.arguments import whole
from lopt.problems.base import Params
from lopt.problems.convolutions import convolved
from lopt.problems.dense_layers import DenseLayers, hidden_sizes
from lopt.problems.initial_weights import Initialization, standard_normals
from lopt.problems.padding import Size


class ConvolutionalLayers(eqx.Module):
    """Convolutions without biases, each followed by the activation, and an affine read-out.

    Params: `(kernels, readout)`, where kernels are float32 `[window, window, room of channels,
    room of filters]` and the read-out is that of `DenseLayers`.

    Raises `ValueError` unless there is one window for each number of filters.

    **Example**

    ```python
    layers = ConvolutionalLayers(
        (8, 8, 1), classes=10, filters=(8, 16), padded_to=0, windows=(3, 3), stride=2,
        activation=Activation("relu"), initialization=Initialization("he"),
    )
    logits = layers(layers.init(jax.random.key(0)), images)
    ```
    """

    channels: tuple[Size, ...]
    """Of the image, and the filters of each convolution."""
    readout: DenseLayers
    windows: tuple[int, ...] = eqx.field(static=True)
    stride: int = eqx.field(static=True)

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        classes: int,
        filters: tuple[int, ...],
        padded_to: int,
        windows: tuple[int, ...],
        stride: int,
        activation: Activation,
        initialization: Initialization,
    ) -> None:
        if not filters or len(filters) != len(windows):
            raise ValueError(
                f"windows must hold a size for each of the filters, at least one, but there are "
                f"{len(windows)} windows and {len(filters)} filters."
            )
        self.windows = tuple(whole("windows", window, at_least=1) for window in windows)
        self.stride = whole("stride", stride, at_least=1)
        height, width, channels = shape
        self.channels = (Size("channels", channels), *hidden_sizes("filters", filters, padded_to))
        for _ in filters:
            height, width = -(-height // self.stride), -(-width // self.stride)
        pixels = height * width
        features = Size("filters", pixels * filters[-1], pixels * padded_to)
        sizes = (features, Size("classes", classes))
        self.readout = DenseLayers(sizes, activation, initialization)

    def init(self, key: Key[Array, ""]) -> Params:
        """Draw the params; padding is 0."""
        kernel_key, readout_key = jax.random.split(key)
        convolutions = self._convolutions()
        shapes = [_shape(*convolution) for convolution in convolutions]
        normals = standard_normals(kernel_key, shapes)
        kernels = [
            self._begun(*convolution, normal)
            for convolution, normal in zip(convolutions, normals, strict=True)
        ]
        return tuple(kernels), self.readout.init(readout_key)

    def _begun(
        self, window: int, into: Size, out: Size, normal: Float[Array, "_ _ into out"]
    ) -> Float[Array, "_ _ into out"]:
        initialization, pixels = self.readout.initialization, window**2
        deviation = initialization.of_weights(pixels * into.count(), pixels * out.count())
        return into.only_real(out.only_real(deviation * normal, 3), 2)

    def __call__(
        self, params: Params, images: Float[Array, "images height width channels"]
    ) -> Float[Array, "images classes"]:
        kernels, readout = params
        for size, kernel in zip(self.channels[1:], kernels, strict=True):
            features = self.readout.activation(convolved(images, kernel, self.stride))
            # Not every activation makes 0 of 0.
            images = size.only_real(features, 3)
        # Filter by filter, so that padding comes last.
        channels_first = images.transpose(0, 3, 1, 2)
        return self.readout(readout, channels_first.reshape(images.shape[0], -1))

    def valid(self) -> Params | None:
        """Tell the params from padding, as `Problem.valid` does."""
        of_readout = self.readout.valid()
        if of_readout is None:
            return None
        kernels = [
            into.mask(_shape(window, into, out), 2) & out.mask(_shape(window, into, out), 3)
            for window, into, out in self._convolutions()
        ]
        return tuple(kernels), of_readout

    def _convolutions(self) -> list[tuple[int, Size, Size]]:
        """List the window of each convolution, and what it leads from and to."""
        pairs = itertools.pairwise(self.channels)
        return [(w, into, out) for w, (into, out) in zip(self.windows, pairs, strict=True)]


def _shape(window: int, into: Size, out: Size) -> tuple[int, int, int, int]:
    return window, window, into.room, out.room
