"""Networks that learn to classify the images of a data set."""

from collections.abc import Callable, Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, Key

from lopt.datasets import Split
from lopt.evaluation.classification import Classification
from lopt.evaluation.target import Better, Target
from lopt.networks.mlp import MLP
from lopt.problems.base import Params, Problem
from lopt.problems.losses import cross_entropy


class ImageClassification(Target):
    """A network on images: training loss along the way, test loss and accuracy at the end.

    The network's initial params and the minibatches differ from seed to seed, the images do
    not. A generalization to another kind of problem where the ensemble holds no network, as
    section 4.3 of Wichrowska et al. 2017 has it. Both splits are standardised by the one
    mean and standard deviation over all pixels of the training images.

    **Example**

    ```python
    train, test = data_set.split("train"), data_set.split("test")
    target = ImageClassification.of(train, test, mlp, name="digits/mlp", steps=500)
    ```
    """

    name: str = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    record_every: int = eqx.field(static=True)
    training: Classification
    test_images: Float[Array, "images height width channels"]
    test_labels: Int32[Array, " images"]

    @classmethod
    def of(
        cls,
        train: Split,
        test: Split,
        network: Callable[[Key[Array, ""]], Params],
        *,
        name: str,
        steps: int,
        record_every: int = 10,
        batch_size: int = 64,
        measured: int = 512,
    ) -> "ImageClassification":
        """Return the target of one network, one data set and one size of minibatches.

        `network` draws a network from a key and should be a function of some module, since
        a compiled program is found again by it. The recorded loss is the mean over the first
        `measured` training images.

        **Example**

        ```python
        train, test = data_set.split("train"), data_set.split("test")
        target = ImageClassification.of(train, test, mlp, name="digits/mlp", steps=500)
        ```
        """
        mean, scale = float(np.mean(train.images)), float(np.std(train.images))
        training = Classification(
            _standardised(train.images, mean, scale),
            jnp.asarray(train.labels, jnp.int32),
            network=network,
            batch_size=batch_size,
            measured=measured,
        )
        test_images = _standardised(test.images, mean, scale)
        test_labels = jnp.asarray(test.labels, jnp.int32)
        return cls(name, steps, record_every, training, test_images, test_labels)

    def draw(self, key: Key[Array, ""]) -> Problem:
        del key
        return self.training

    def metrics(self, problem: Problem, params: Params) -> dict[str, Float[Array, ""]]:
        del problem
        logits = jax.vmap(params)(self.test_images)
        right = jnp.argmax(logits, axis=-1).astype(jnp.int32) == self.test_labels
        return {
            "test_loss": cross_entropy(logits, self.test_labels),
            "test_accuracy": right.mean(dtype=jnp.float32),
        }

    def better(self) -> Mapping[str, Better]:
        return {"test_loss": "lower", "test_accuracy": "higher"}

    @classmethod
    def examples(cls) -> Sequence[Target]:
        stripes = _stripes()
        return [cls.of(stripes, stripes, _tiny, name="stripes", steps=4, record_every=2)]


def _standardised(
    images: np.ndarray, mean: float, scale: float
) -> Float[Array, "images height width channels"]:
    return jnp.asarray((images - np.float32(mean)) / np.float32(scale), jnp.float32)


def _stripes() -> Split:
    labels = np.arange(12, dtype=np.int32) % 2
    images = np.random.default_rng(0).integers(0, 128, (12, 4, 4, 1), dtype=np.uint8)
    images[:, :2] += (120 * labels[:, None, None, None]).astype(np.uint8)
    return Split("train", images, labels)


def _tiny(key: Key[Array, ""]) -> MLP:
    return MLP((16, 2), key=key)
