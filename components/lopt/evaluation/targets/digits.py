"""The two networks that every evaluation trains on the real handwritten digits."""

from lopt.datasets import DataSet
from lopt.evaluation.target import Target
from lopt.evaluation.targets.small_mlp import SMALL
from lopt.evaluation.targets.two_layer_convnet import TWO_LAYERS

STEPS = 500


def digits_mlp(digits: DataSet, steps: int = STEPS, record_every: int = 10) -> Target:
    """Return a fully connected network 64-32-10 on the digits, in minibatches of 64.

    **Example**

    ```python
    target = digits_mlp(prepare("digits", root))
    ```
    """
    return SMALL.on(digits, steps, record_every)


def digits_convnet(digits: DataSet, steps: int = STEPS, record_every: int = 10) -> Target:
    """Return two convolutions (8 and 16 filters) and a read-out on the digits, 64 at a time.

    **Example**

    ```python
    target = digits_convnet(prepare("digits", root))
    ```
    """
    return TWO_LAYERS.on(digits, steps, record_every)


NETWORKS = (digits_mlp, digits_convnet)
