"""Training a network to classify images, as a problem."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, Key

from lopt.evaluation.pieces import logits_in_pieces
from lopt.networks.mlp import MLP
from lopt.problems.base import Batch, Params, Problem
from lopt.problems.losses import cross_entropy


class Classification(Problem):
    """Mean cross-entropy of a network on images, by minibatches drawn with replacement.

    `network` draws a network from a key; the network's array leaves are the params. The
    noise-free loss is taken on the first `measured` images, the same in every step, because
    all of them would cost more than the training.

    **Example**

    ```python
    problem = Classification(images, labels, network=digits_mlp, batch_size=64, measured=512)
    ```
    """

    images: Float[Array, "images height width channels"]
    labels: Int32[Array, " images"]
    network: Callable[[Key[Array, ""]], Params] = eqx.field(static=True, kw_only=True)
    batch_size: int = eqx.field(static=True, kw_only=True)
    measured: int = eqx.field(static=True, kw_only=True)

    def init(self, key: Key[Array, ""]) -> Params:
        return self.network(key)

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        del key
        images, labels = batch
        logits = logits_in_pieces(params, images, at_least=self.batch_size)
        return cross_entropy(logits, labels)

    def draw(self, key: Key[Array, ""]) -> "Classification":
        del key
        return self

    def sample_batch(self, key: Key[Array, ""]) -> Batch:
        chosen = jax.random.randint(key, (self.batch_size,), 0, self.labels.shape[0])
        return self.images[chosen], self.labels[chosen]

    def full_batch(self) -> Batch:
        return self.images[: self.measured], self.labels[: self.measured]

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        images = jax.random.normal(jax.random.key(0), (12, 2, 2, 1), jnp.float32)
        labels = jnp.arange(12, dtype=jnp.int32) % 3
        return [cls(images, labels, network=_tiny, batch_size=4, measured=8)]


def _tiny(key: Key[Array, ""]) -> MLP:
    return MLP((4, 3), key=key)
