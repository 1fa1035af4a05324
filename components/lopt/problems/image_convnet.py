"""Convolutional networks on the images of a data set: PAPER.md section 5.2."""

from collections.abc import Sequence

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from lopt.problems.activations import Activation
from lopt.problems.base import Batch, Params, Problem
from lopt.problems.convolutional_layers import ConvolutionalLayers
from lopt.problems.image_problem import ImageProblem
from lopt.problems.images import ImageSamples, LabelledImages, striped_images
from lopt.problems.initial_weights import Initialization
from lopt.problems.losses import cross_entropy


class ImageConvNet(ImageProblem):
    """A convolutional network that learns to classify images: mean cross-entropy in nats.

    `filters` and `windows` hold a number of filters and a size of window for each layer, which
    shrinks height and width by `stride`. With the defaults it is the ConvNet of Wichrowska et
    al. 2017's code (PAPER.md section 5.2), on which the paper tests: stride 1, no biases but
    in the read-out, and everything begins with standard deviation 0.01. Params: `(kernels,
    ((weights, bias),))`, float32. What is a leaf is what is one in `ImageMLP`, `padded_to`
    being for filters. There is no penalty, which the paper's code adds to its cross-entropy.

    Raises `ValueError` for an argument out of range, and for more samples than images.

    **Example**

    ```python
    problem = ImageConvNet(data_set=digits, filters=(8, 16), windows=(3, 3), stride=2, key=key)
    ```
    """

    classes: int = eqx.field(static=True)

    def __init__(
        self,
        *,
        data_set: LabelledImages,
        filters: tuple[int, ...] = (8, 8),
        windows: tuple[int, ...] = (3, 5),
        stride: int = 1,
        padded_to: int = 0,
        activation: str = "relu",
        initialization: str = "small",
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
        self.network = ConvolutionalLayers(
            self.data.shape,
            classes=self.classes,
            filters=filters,
            padded_to=padded_to,
            windows=windows,
            stride=stride,
            activation=Activation(activation),
            initialization=Initialization(initialization),
        )

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        del key
        images, labels = batch
        return cross_entropy(self.network(params, images), labels)

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        padded = cls(
            data_set=striped_images(8, (3, 4, 2), classes=3),
            filters=(1, 2),
            windows=(2, 3),
            stride=2,
            padded_to=3,
            activation="sigmoid",
            samples=6,
            batch_size=2,
            key=jax.random.key(0),
        )
        return [padded]
