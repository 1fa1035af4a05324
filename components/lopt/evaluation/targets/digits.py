"""The two networks that every evaluation trains on the real handwritten digits."""

from jaxtyping import Array, Key

from lopt.datasets import DataSet, Split
from lopt.evaluation.targets.image_classification import ImageClassification
from lopt.networks.convnet import ConvNet
from lopt.networks.mlp import MLP

STEPS = 500


def digits_mlp(digits: DataSet, steps: int = STEPS, record_every: int = 10) -> ImageClassification:
    """Return a fully connected network 64-32-10 on the digits, in minibatches of 64.

    **Example**

    ```python
    target = digits_mlp(prepare("digits", root))
    ```
    """
    return ImageClassification.of(
        *_splits(digits), _mlp, name="digits/mlp", steps=steps, record_every=record_every
    )


def digits_convnet(
    digits: DataSet, steps: int = STEPS, record_every: int = 10
) -> ImageClassification:
    """Return two convolutions (8 and 16 filters) and a read-out on the digits, 64 at a time.

    **Example**

    ```python
    target = digits_convnet(prepare("digits", root))
    ```
    """
    return ImageClassification.of(
        *_splits(digits), _convnet, name="digits/convnet", steps=steps, record_every=record_every
    )


NETWORKS = (digits_mlp, digits_convnet)


def _splits(digits: DataSet) -> tuple[Split, Split]:
    return digits.split("train"), digits.split("test")


# Functions of this module and no closures: a compiled program is found again by them.
def _mlp(key: Key[Array, ""]) -> MLP:
    return MLP((64, 32, 10), key=key)


def _convnet(key: Key[Array, ""]) -> ConvNet:
    return ConvNet((8, 8, 1), filters=(8, 16), classes=10, key=key)
