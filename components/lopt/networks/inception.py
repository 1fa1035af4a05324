"""Inception V3: Szegedy et al. 2016, https://arxiv.org/abs/1512.00567."""

import itertools
from typing import TypeAlias

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from lopt.networks.batch_norm import BatchNorm, Features, Moments, in_a_row, side_by_side
from lopt.networks.batched_convolution import Conv, average_pooled, max_pooled, refuse_small
from lopt.networks.inception_sizes import BEFORE_BLOCKS, BLOCKS, BranchSizes, Pool, Window
from lopt.networks.initial import with_he_kernels

SMALLEST = 75
EPSILON = 1e-3

BranchMemory: TypeAlias = tuple[tuple[Moments, ...], tuple[Moments, ...]]
Memory: TypeAlias = tuple[tuple[BranchMemory, ...], tuple[tuple[BranchMemory, ...], ...]]


class InceptionV3(eqx.Module):
    """Blocks of branches, and batch normalization after every convolution.

    As Keras has it: no biases but in the read-out, no scales in the batch normalizations, no
    auxiliary classifier and no dropout, so that the loss is free of noise. The logits are read
    out of the means over all pixels. 23,817,352 params for 1,000 classes and 34,432 remembered
    numbers, together the 23,851,784 that Keras states, https://keras.io/api/applications.

    All numbers of filters are divided by `narrowing`, for tests; 1, 2, 4, 8 or 16.

    Raises `ValueError` for images of less than 75 x 75 pixels.

    **Example**

    ```python
    network = InceptionV3(classes=1000, key=jax.random.key(0))
    logits, memory = network(images, network.init_memory(), training=True)
    ```
    """

    before: tuple["Branch", ...]
    blocks: tuple[tuple["Branch", ...], ...]
    readout: Conv

    def __init__(
        self, classes: int, *, channels: int = 3, narrowing: int = 1, key: Key[Array, ""]
    ) -> None:
        before, blocks, width = [], [], channels
        for sizes in BEFORE_BLOCKS:
            before.append(Branch(width, sizes, narrowing))
            width = before[-1].outputs
        for block in BLOCKS:
            blocks.append(tuple(Branch(width, sizes, narrowing) for sizes in block))
            width = sum(branch.outputs for branch in blocks[-1])
        readout = Conv((1, 1), width, classes, use_bias=True)
        parts = with_he_kernels((tuple(before), tuple(blocks), readout), key)
        self.before, self.blocks, self.readout = parts

    def init_memory(self) -> Memory:
        """Return what is remembered before any training; looks at nothing but shapes."""
        return (
            tuple(branch.init_memory() for branch in self.before),
            tuple(tuple(branch.init_memory() for branch in block) for block in self.blocks),
        )

    def __call__(
        self, images: Float[Array, "batch height width channels"], memory: Memory, training: bool
    ) -> tuple[Float[Array, "batch classes"], Memory]:
        refuse_small("Inception V3", images, SMALLEST)
        of_before, of_blocks = memory
        features, of_before = in_a_row(self.before, images, of_before, training)
        remembered = []
        for block, of_block in zip(self.blocks, of_blocks, strict=True):
            features, new = side_by_side(block, features, of_block, training)
            remembered.append(new)
        pooled = features.mean(axis=(1, 2), keepdims=True)
        return self.readout(pooled)[:, 0, 0, :], (of_before, tuple(remembered))


class Branch(eqx.Module):
    """What one branch of a block makes of the block's input; `outputs` filters.

    **Example**

    ```python
    branch = Branch(192, BLOCKS[0][3], narrowing=1)
    features, memory = branch(features, branch.init_memory(), training=True)
    ```
    """

    chain: tuple["NormConv", ...]
    ends: tuple["NormConv", ...]
    pool: Pool = eqx.field(static=True)
    outputs: int = eqx.field(static=True)

    def __init__(self, inputs: int, sizes: BranchSizes, narrowing: int) -> None:
        widths = (inputs, *(window.filters // narrowing for window in sizes.chain))
        pairs = zip(itertools.pairwise(widths), sizes.chain, strict=True)
        self.chain = tuple(NormConv(window, into, out) for (into, out), window in pairs)
        ends = tuple(window.filters // narrowing for window in sizes.ends)
        self.ends = tuple(
            NormConv(window, widths[-1], out) for out, window in zip(ends, sizes.ends, strict=True)
        )
        self.pool = sizes.pool
        self.outputs = sum(ends) if ends else widths[-1]

    def init_memory(self) -> BranchMemory:
        """Return what is remembered before any training."""
        return (
            tuple(layer.norm.init_memory() for layer in self.chain),
            tuple(layer.norm.init_memory() for layer in self.ends),
        )

    def __call__(
        self, features: Features, memory: BranchMemory, training: bool
    ) -> tuple[Features, BranchMemory]:
        of_chain, of_ends = memory
        if self.pool:
            features = average_pooled(features) if self.pool == "average" else max_pooled(features)
        features, of_chain = in_a_row(self.chain, features, of_chain, training)
        if self.ends:
            features, of_ends = side_by_side(self.ends, features, of_ends, training)
        return features, (of_chain, of_ends)


class NormConv(eqx.Module):
    """A convolution without bias, a batch normalization without scale and ReLU.

    **Example**

    ```python
    layer = NormConv(Window(96, 3, 3), inputs=64, outputs=96)
    features, memory = layer(features, layer.norm.init_memory(), training=True)
    ```
    """

    conv: Conv
    norm: BatchNorm

    def __init__(self, window: Window, inputs: int, outputs: int) -> None:
        self.conv = Conv(
            (window.rows, window.columns),
            inputs,
            outputs,
            stride=window.stride,
            padding=window.padding,
        )
        self.norm = BatchNorm(outputs, epsilon=EPSILON, use_scale=False)

    def __call__(
        self, features: Features, memory: Moments, training: bool
    ) -> tuple[Features, Moments]:
        features, memory = self.norm(self.conv(features), memory, training)
        return jax.nn.relu(features), memory
