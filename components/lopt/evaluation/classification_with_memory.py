"""Training a network with batch normalization to classify images, as a problem."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, Key

from lopt.evaluation.pieces import logits_in_pieces
from lopt.evaluation.with_memory import Memory, WithMemory
from lopt.networks.norm_convnet import NormConvNet
from lopt.problems.base import Batch, Params, Problem
from lopt.problems.losses import cross_entropy

Images = Float[Array, "images height width channels"]
Logits = Float[Array, "images classes"]


@runtime_checkable
class NetworkWithMemory(Protocol):
    """What all of `lopt.networks` with batch normalization are."""

    def init_memory(self) -> Memory:
        """Return what is remembered before any training; looks at nothing but shapes."""

    def __call__(self, images: Images, memory: Memory, training: bool) -> tuple[Logits, Memory]:
        """Return the logits and the next memory."""


class ClassificationWithMemory(WithMemory):
    """Mean cross-entropy of a network on images, by minibatches drawn with replacement.

    `network` draws a `NetworkWithMemory` from a key, whose array leaves are the params. The
    noise-free loss is taken on the first `measured` images, in inference mode, as it is
    reported; `Classification` has the networks without memory.

    **Example**

    ```python
    problem = ClassificationWithMemory(
        images, labels, network=resnet, batch_size=64, measured=512
    )
    ```
    """

    images: Images
    labels: Int32[Array, " images"]
    network: Callable[[Key[Array, ""]], NetworkWithMemory] = eqx.field(static=True, kw_only=True)
    batch_size: int = eqx.field(static=True, kw_only=True)
    measured: int = eqx.field(static=True, kw_only=True)

    def init(self, key: Key[Array, ""]) -> Params:
        return self.network(key)

    def init_memory(self) -> Memory:
        network: NetworkWithMemory = eqx.filter_eval_shape(self.network, jax.random.key(0))
        return network.init_memory()

    def loss_and_memory(
        self, params: Params, memory: Memory, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], Memory]:
        del key
        images, labels = batch
        logits, memory = params(images, memory, training=True)
        return cross_entropy(logits, labels), memory

    def loss_with_memory(
        self, params: Params, memory: Memory, batch: Batch, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        del key
        images, labels = batch
        return cross_entropy(inferred(params, memory, images, self.batch_size), labels)

    def draw(self, key: Key[Array, ""]) -> "ClassificationWithMemory":
        del key
        return self

    def sample_batch(self, key: Key[Array, ""]) -> Batch:
        chosen = jax.random.randint(key, (self.batch_size,), 0, self.labels.shape[0])
        return self.images[chosen], self.labels[chosen]

    def full_batch(self) -> Batch:
        return self.images[: self.measured], self.labels[: self.measured]

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        images = jax.random.normal(jax.random.key(0), (12, 4, 4, 1), jnp.float32)
        labels = jnp.arange(12, dtype=jnp.int32) % 3
        return [cls(images, labels, network=_tiny, batch_size=4, measured=8)]


def inferred(network: NetworkWithMemory, memory: Memory, images: Images, together: int) -> Logits:
    """Return the logits in inference mode, so many images at a time as in a minibatch, or more.

    **Example**

    ```python
    logits = inferred(params, memory, test_images, together=64)
    ```
    """

    def one(image: Float[Array, "height width channels"]) -> Float[Array, " classes"]:
        return network(image[None], memory, training=False)[0][0]

    return logits_in_pieces(one, images, at_least=together)


def _tiny(key: Key[Array, ""]) -> NormConvNet:
    return NormConvNet((4, 4, 1), filters=(2,), classes=3, key=key)
