"""Residual networks, version 2: He et al. 2016, https://arxiv.org/abs/1603.05027."""

from collections.abc import Iterator, Sequence

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from lopt.networks.batch_norm import BatchNorm, Features, Moments, in_a_row
from lopt.networks.batched_convolution import Conv, max_pooled, refuse_small
from lopt.networks.initial import with_he_kernels

EXPANSION = 4
SMALLEST = 32
EPSILON = 1e-5

BlockMemory = tuple[Moments, Moments, Moments]
Memory = tuple[tuple[BlockMemory, ...], Moments]


class ResNetV2(eqx.Module):
    """Stages of residual blocks with batch normalization before their convolutions.

    As TensorFlow's slim and Keras have it, which agree: convolutions that a batch
    normalization follows have no biases; the first one, the last of each block, projections
    and the read-out have some. The last block of a stage halves height and width, but not
    that of the last stage. The logits are read out of the means over all pixels.

    Raises `ValueError` for images of less than 32 x 32 pixels.

    **Example**

    ```python
    network = resnet50(classes=1000, key=jax.random.key(0))
    logits, memory = network(images, network.init_memory(), training=True)
    ```
    """

    stem: Conv
    blocks: tuple["Bottleneck", ...]
    last_norm: BatchNorm
    readout: Conv

    def __init__(
        self,
        widths: Sequence[int],
        depths: Sequence[int],
        classes: int,
        *,
        channels: int = 3,
        key: Key[Array, ""],
    ) -> None:
        outputs = EXPANSION * widths[-1]
        parts = (
            Conv((7, 7), channels, widths[0], stride=2, padding=3, use_bias=True),
            tuple(Bottleneck(*sizes) for sizes in _sizes(widths, depths)),
            _norm(outputs),
            Conv((1, 1), outputs, classes, use_bias=True),
        )
        self.stem, self.blocks, self.last_norm, self.readout = with_he_kernels(parts, key)

    def init_memory(self) -> Memory:
        """Return what is remembered before any training; looks at nothing but shapes."""
        return tuple(block.init_memory() for block in self.blocks), self.last_norm.init_memory()

    def __call__(
        self, images: Float[Array, "batch height width channels"], memory: Memory, training: bool
    ) -> tuple[Float[Array, "batch classes"], Memory]:
        refuse_small("A ResNet", images, SMALLEST)
        of_blocks, of_last = memory
        features = max_pooled(self.stem(images), padding=1)
        features, of_blocks = in_a_row(self.blocks, features, of_blocks, training)
        features, of_last = self.last_norm(features, of_last, training)
        pooled = jax.nn.relu(features).mean(axis=(1, 2), keepdims=True)
        return self.readout(pooled)[:, 0, 0, :], (of_blocks, of_last)


class Bottleneck(eqx.Module):
    """What is added to its input: convolutions of 1, 3 and 1 pixels, the middle ones narrow.

    `filters` is the width of the narrow ones, the output has four times as many. An input of
    another width is projected.

    **Example**

    ```python
    block = Bottleneck(inputs=64, filters=64, stride=1)
    features, memory = block(features, block.init_memory(), training=True)
    ```
    """

    norms: tuple[BatchNorm, BatchNorm, BatchNorm]
    convolutions: tuple[Conv, Conv, Conv]
    projection: Conv | None
    stride: int = eqx.field(static=True)

    def __init__(self, inputs: int, filters: int, stride: int) -> None:
        outputs = EXPANSION * filters
        self.norms = (_norm(inputs), _norm(filters), _norm(filters))
        self.convolutions = (
            Conv((1, 1), inputs, filters),
            Conv((3, 3), filters, filters, stride=stride, padding=1),
            Conv((1, 1), filters, outputs, use_bias=True),
        )
        projected = inputs != outputs
        self.projection = (
            Conv((1, 1), inputs, outputs, stride=stride, use_bias=True) if projected else None
        )
        self.stride = stride

    def init_memory(self) -> BlockMemory:
        """Return what is remembered before any training."""
        first, second, third = self.norms
        return first.init_memory(), second.init_memory(), third.init_memory()

    def __call__(
        self, features: Features, memory: BlockMemory, training: bool
    ) -> tuple[Features, BlockMemory]:
        first, second, third = self.norms
        narrow, middle, wide = self.convolutions
        units, of_first = first(features, memory[0], training)
        units = jax.nn.relu(units)
        shortcut = (
            features[:, :: self.stride, :: self.stride, :]
            if self.projection is None
            else self.projection(units)
        )
        units, of_second = second(narrow(units), memory[1], training)
        units, of_third = third(middle(jax.nn.relu(units)), memory[2], training)
        return shortcut + wide(jax.nn.relu(units)), (of_first, of_second, of_third)


def resnet50(classes: int, *, channels: int = 3, key: Key[Array, ""]) -> ResNetV2:
    """Return ResNet V2-50: 25,568,360 params for 1,000 classes, and 45,440 remembered numbers.

    Together the 25,613,800 that Keras states for its ResNet50V2,
    https://keras.io/api/applications.

    **Example**

    ```python
    network = resnet50(classes=1000, key=jax.random.key(0))
    ```
    """
    return ResNetV2((64, 128, 256, 512), (3, 4, 6, 3), classes, channels=channels, key=key)


def _sizes(widths: Sequence[int], depths: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield inputs, filters and stride of each block."""
    inputs = widths[0]
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
        for block in range(1, depth + 1):
            yield inputs, width, 2 if block == depth and stage < len(widths) else 1
            inputs = EXPANSION * width


def _norm(filters: int) -> BatchNorm:
    return BatchNorm(filters, epsilon=EPSILON)
