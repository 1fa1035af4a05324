"""Networks with batch normalization that learn to classify the images of a data set."""

import functools
from collections.abc import Callable, Mapping, Sequence

import equinox as eqx
from jaxtyping import Array, Float, Int32, Key

from lopt.datasets import Split
from lopt.evaluation.accuracy import BETTER, accuracies
from lopt.evaluation.classification_with_memory import (
    ClassificationWithMemory,
    NetworkWithMemory,
    inferred,
)
from lopt.evaluation.splits import standardised, stripes
from lopt.evaluation.target import Better, Target
from lopt.evaluation.with_memory import Memory, TargetWithMemory, WithMemory
from lopt.networks.norm_convnet import NormConvNet
from lopt.problems.base import Params


class NormalizedImageClassification(TargetWithMemory):
    """As `ImageClassification`, of a network that remembers.

    Losses and accuracies are in inference mode, by the running averages of the training. Those
    are where the gradients were taken, which with attention is not where losses are measured.

    **Example**

    ```python
    train, test = data_set.split("train"), data_set.split("test")
    target = NormalizedImageClassification.of(train, test, resnet, name="cifar10/resnet", steps=9)
    ```
    """

    name: str = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    record_every: int = eqx.field(static=True)
    training: ClassificationWithMemory
    test_images: Float[Array, "images height width channels"]
    test_labels: Int32[Array, " images"]

    @classmethod
    def of(
        cls,
        train: Split,
        test: Split,
        network: Callable[[Key[Array, ""]], NetworkWithMemory],
        *,
        name: str,
        steps: int,
        record_every: int = 10,
        batch_size: int = 64,
        measured: int = 512,
    ) -> "NormalizedImageClassification":
        """Return the target of one network, one data set and one size of minibatches.

        As `ImageClassification.of`.

        **Example**

        ```python
        train, test = data_set.split("train"), data_set.split("test")
        target = NormalizedImageClassification.of(train, test, net, name="digits/net", steps=500)
        ```
        """
        splits = standardised(train, test)
        training = ClassificationWithMemory(
            splits.images,
            splits.labels,
            network=network,
            batch_size=batch_size,
            measured=measured,
        )
        return cls(name, steps, record_every, training, splits.test_images, splits.test_labels)

    def draw(self, key: Key[Array, ""]) -> WithMemory:
        del key
        return self.training

    def metrics_with_memory(
        self, problem: WithMemory, params: Params, memory: Memory
    ) -> dict[str, Float[Array, ""]]:
        del problem
        test = self.test_images, self.test_labels
        together = self.training.batch_size
        logits_of = functools.partial(inferred, params, memory, together=together)
        return accuracies(logits_of, self.training.full_batch(), test)

    def better(self) -> Mapping[str, Better]:
        return BETTER

    @classmethod
    def examples(cls) -> Sequence[Target]:
        return [cls.of(stripes(), stripes(), _tiny, name="stripes", steps=4, record_every=2)]


def _tiny(key: Key[Array, ""]) -> NormConvNet:
    return NormConvNet((4, 4, 1), filters=(2,), classes=2, key=key)
