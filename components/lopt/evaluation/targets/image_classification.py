"""Networks that learn to classify the images of a data set."""

import functools
from collections.abc import Callable, Mapping, Sequence

import equinox as eqx
from jaxtyping import Array, Float, Int32, Key

from lopt.datasets import Split
from lopt.evaluation.accuracy import BETTER, accuracies
from lopt.evaluation.classification import Classification
from lopt.evaluation.pieces import logits_in_pieces
from lopt.evaluation.splits import standardised, stripes
from lopt.evaluation.target import Better, Target
from lopt.networks.mlp import MLP
from lopt.problems.base import Params, Problem


class ImageClassification(Target):
    """A network on images: training loss along the way, accuracies and test loss at the end.

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
        splits = standardised(train, test)
        training = Classification(
            splits.images,
            splits.labels,
            network=network,
            batch_size=batch_size,
            measured=measured,
        )
        return cls(name, steps, record_every, training, splits.test_images, splits.test_labels)

    def draw(self, key: Key[Array, ""]) -> Problem:
        del key
        return self.training

    def metrics(self, problem: Problem, params: Params) -> dict[str, Float[Array, ""]]:
        del problem
        test = self.test_images, self.test_labels
        at_least = self.training.batch_size
        logits_of = functools.partial(logits_in_pieces, params, at_least=at_least)
        return accuracies(logits_of, self.training.full_batch(), test)

    def better(self) -> Mapping[str, Better]:
        return BETTER

    @classmethod
    def examples(cls) -> Sequence[Target]:
        return [cls.of(stripes(), stripes(), _tiny, name="stripes", steps=4, record_every=2)]


def _tiny(key: Key[Array, ""]) -> MLP:
    return MLP((16, 2), key=key)
