"""The two networks that every evaluation trains on the real handwritten digits."""

from jaxtyping import Array, Key

from lopt.evaluation.networks import MLP, ConvNet
from lopt.evaluation.targets.image_classification import ImageClassification, Images

STEPS = 500


def digits_mlp(train: Images, test: Images, steps: int = STEPS) -> ImageClassification:
    """Return a fully connected network 64-32-10 on the digits, in minibatches of 64.

    **Example**

    ```python
    target = digits_mlp(data_set.split("train"), data_set.split("test"))
    ```
    """
    return ImageClassification.of(train, test, _mlp, name="digits/mlp", steps=steps)


def digits_convnet(train: Images, test: Images, steps: int = STEPS) -> ImageClassification:
    """Return two convolutions (8 and 16 filters) and a read-out on the digits, 64 at a time.

    **Example**

    ```python
    target = digits_convnet(data_set.split("train"), data_set.split("test"))
    ```
    """
    return ImageClassification.of(train, test, _convnet, name="digits/convnet", steps=steps)


# Functions of this module and no closures: a compiled program is found again by them.
def _mlp(key: Key[Array, ""]) -> MLP:
    return MLP((64, 32, 10), key=key)


def _convnet(key: Key[Array, ""]) -> ConvNet:
    return ConvNet((8, 8, 1), filters=(8, 16), classes=10, key=key)
