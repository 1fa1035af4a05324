"""Small convolutional networks, of which many are trained side by side."""

import itertools

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from lopt.networks.initial import EQUINOX, linear
from lopt.problems.activations import FUNCTIONS
from lopt.problems.arguments import one_of, whole
from lopt.problems.convolutions import patches


class ConvNet(eqx.Module):
    """Convolutions, each followed by the activation function, and a linear read-out.

    `filters`, `windows` and `strides` hold one number for each convolution; 3 x 3 pixels that
    halve height and width by default. `pooled` reads out the means over all pixels instead of
    every pixel. Without `biases` only the read-out has one. `initialization` is what `linear`
    knows, of kernels as well.

    Raises `ValueError` for names that are unknown, and unless there are a window and a stride
    for each of the filters, at least one.

    **Example**

    ```python
    logits = ConvNet((8, 8, 1), filters=(8, 16), classes=10, key=jax.random.key(0))(image)
    ```
    """

    convolutions: tuple["Convolution", ...]
    readout: eqx.nn.Linear
    activation: str = eqx.field(static=True)
    pooled: bool = eqx.field(static=True)

    def __init__(
        self,
        shape: tuple[int, int, int],
        filters: tuple[int, ...],
        classes: int,
        *,
        windows: tuple[int, ...] = (),
        strides: tuple[int, ...] = (),
        activation: str = "relu",
        initialization: str = EQUINOX,
        biases: bool = True,
        pooled: bool = False,
        key: Key[Array, ""],
    ) -> None:
        windows, strides = windows or (3,) * len(filters), strides or (2,) * len(filters)
        _refuse_unequal(filters, windows, strides)
        self.activation = one_of("activation", activation, list(FUNCTIONS))
        self.pooled = pooled
        height, width, channels = shape
        keys = jax.random.split(key, len(filters) + 1)
        self.convolutions = tuple(
            Convolution(into, out, window, stride, initialization, use_bias=biases, key=own_key)
            for (into, out), window, stride, own_key in zip(
                itertools.pairwise((channels, *filters)), windows, strides, keys[:-1], strict=True
            )
        )
        for stride in strides:
            height, width = -(-height // stride), -(-width // stride)
        features = filters[-1] if pooled else height * width * filters[-1]
        self.readout = linear(features, classes, initialization, key=keys[-1])

    def __call__(self, image: Float[Array, "height width channels"]) -> Float[Array, " classes"]:
        for convolution in self.convolutions:
            image = FUNCTIONS[self.activation](convolution(image))
        return self.readout(image.mean(axis=(0, 1)) if self.pooled else image.reshape(-1))


class Convolution(eqx.Module):
    """A convolution with zeros beyond the edge, as one matrix product of patches.

    Of `window` x `window` pixels around every `stride`-th one. Why it is no
    `jax.lax.conv_general_dilated` is said in `lopt.problems.convolutions`.

    **Example**

    ```python
    features = Convolution(1, 8, key=jax.random.key(0))(image)  # half height and width, 8
    ```
    """

    linear: eqx.nn.Linear
    window: int = eqx.field(static=True)
    stride: int = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        filters: int,
        window: int = 3,
        stride: int = 2,
        initialization: str = EQUINOX,
        *,
        use_bias: bool = True,
        key: Key[Array, ""],
    ) -> None:
        self.window = whole("window", window, at_least=1)
        self.stride = whole("stride", stride, at_least=1)
        self.linear = linear(
            window**2 * channels, filters, initialization, use_bias=use_bias, key=key
        )

    def __call__(
        self, image: Float[Array, "height width channels"]
    ) -> Float[Array, "rows columns filters"]:
        seen = patches(image, self.window, self.stride)
        filtered = jax.vmap(self.linear)(seen.reshape(-1, seen.shape[-1]))
        return filtered.reshape(*seen.shape[:2], -1)


def papers_convnet(
    shape: tuple[int, int, int], classes: int, *, activation: str = "relu", key: Key[Array, ""]
) -> ConvNet:
    """Return the ConvNet on which Wichrowska et al. 2017 test; 64,402 params for MNIST.

    8 filters of 3 x 3 pixels and 8 of 5 x 5 at every pixel, no biases but in the read-out, all
    begun with standard deviation 0.01; "relu" or "sigmoid" (PAPER.md section 6).

    **Example**

    ```python
    network = papers_convnet((28, 28, 1), 10, activation="sigmoid", key=jax.random.key(0))
    ```
    """
    return ConvNet(
        shape,
        (8, 8),
        classes,
        windows=(3, 5),
        strides=(1, 1),
        activation=activation,
        initialization="small",
        biases=False,
        key=key,
    )


def six_layer_convnet(shape: tuple[int, int, int], classes: int, *, key: Key[Array, ""]) -> ConvNet:
    """Return six convolutions of 3 x 3 pixels, every other of which halves height and width.

    The paper measures its seconds a step on "a six layer ConvNet" and gives no sizes that we
    know of (PAPER.md section 6); these, 16 to 64 filters, are ours.

    **Example**

    ```python
    network = six_layer_convnet((32, 32, 3), 10, key=jax.random.key(0))
    ```
    """
    return ConvNet(shape, (16, 16, 32, 32, 64, 64), classes, strides=(1, 2, 1, 2, 1, 2), key=key)


def cifar_convnet(shape: tuple[int, int, int], classes: int, *, key: Key[Array, ""]) -> ConvNet:
    """Return convolutions of 32, 64 and 64 filters, pooled: 56,970 params for CIFAR-10.

    What later work on learned optimizers has under the name Conv_Cifar10_32x64x64 (Metz et al.
    2022, https://github.com/google/learned_optimization): ReLU, the first stride is 2.

    **Example**

    ```python
    network = cifar_convnet((32, 32, 3), 10, key=jax.random.key(0))
    ```
    """
    return ConvNet(
        shape,
        (32, 64, 64),
        classes,
        strides=(2, 1, 1),
        initialization="he",
        pooled=True,
        key=key,
    )


def _refuse_unequal(
    filters: tuple[int, ...], windows: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    if not filters or {len(windows), len(strides)} != {len(filters)}:
        raise ValueError(
            f"A ConvNet needs filters and for each of them a window and a stride, but has filters "
            f"{filters}, windows {windows} and strides {strides}."
        )
