"""Fully connected networks on the images of a data set."""

from collections.abc import Sequence

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from lopt.problems.activations import Activation
from lopt.problems.base import Batch, Params, Problem
from lopt.problems.dense_layers import DenseLayers, hidden_sizes
from lopt.problems.image_problem import ImageProblem, flat
from lopt.problems.images import ImageSamples, LabelledImages, striped_images
from lopt.problems.initial_weights import Initialization
from lopt.problems.losses import cross_entropy
from lopt.problems.padding import Size


class ImageMLP(ImageProblem):
    """A fully connected network that learns to classify images: mean cross-entropy in nats.

    What the optimizer is for, at a size at which many fit into a meta-training: `hidden`
    holds the widths of the hidden layers. Params: a tuple of (weights, bias), float32.
    Activation, initialization, widths up to `padded_to` and batch sizes that divide
    `batch_padded_to` are leaves, so that one number of hidden layers is one program.
    Not in Wichrowska et al. 2017's code, whose networks see generated data only.

    Raises `ValueError` for an argument out of range, and for more samples than images.

    **Example**

    ```python
    problem = ImageMLP(data_set=digits, hidden=(32, 16), activation="tanh", key=key)
    ```
    """

    classes: int = eqx.field(static=True)

    def __init__(
        self,
        *,
        data_set: LabelledImages,
        hidden: tuple[int, ...] = (32,),
        padded_to: int = 0,
        activation: str = "relu",
        initialization: str = "he",
        samples: int = 1024,
        batch_size: int = 64,
        batch_padded_to: int = 0,
        validation: int = 0,
        key: Key[Array, ""],
    ) -> None:
        self.data = ImageSamples(
            data_set, samples, batch_size, batch_padded_to, validation, key=key
        )
        self.classes = data_set.classes
        sizes = (
            self.data.size,
            *hidden_sizes("hidden", hidden, padded_to),
            Size("classes", self.classes),
        )
        self.network = DenseLayers(sizes, Activation(activation), Initialization(initialization))

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        del key
        images, labels = batch
        return cross_entropy(self.network(params, flat(images)), labels)

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        key, stripes = jax.random.key(0), striped_images(12, (3, 2, 1), classes=3)
        padded = cls(
            data_set=stripes,
            hidden=(3,),
            padded_to=4,
            activation="sigmoid",
            samples=8,
            batch_size=2,
            batch_padded_to=4,
            key=key,
        )
        return [padded, cls(data_set=stripes, hidden=(), samples=8, batch_size=2, key=key)]
