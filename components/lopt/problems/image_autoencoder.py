"""Autoencoders on the images of a data set."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from lopt.problems.activations import Activation
from lopt.problems.base import Batch, Params, Problem
from lopt.problems.dense_layers import DenseLayers, hidden_sizes
from lopt.problems.image_problem import ImageProblem, flat
from lopt.problems.images import ImageSamples, LabelledImages, striped_images
from lopt.problems.initial_weights import Initialization


class ImageAutoencoder(ImageProblem):
    """A network that learns to give an image back through a narrow layer: mean squared error.

    Regression with as many outputs as inputs: other gradients than a classifier's, and a
    minimum well above 0. `hidden` holds the widths from the image to the narrow layer, from
    which the others lead back, so the layers are `hidden`, then all but the last in reverse.
    The error is that of standardised pixels: about 1 for whoever always says the mean. A batch
    is images alone. Params and leaves are those of `ImageMLP`. Not in the paper's code.

    Raises `ValueError` for an argument out of range, and for more samples than images.

    **Example**

    ```python
    problem = ImageAutoencoder(data_set=digits, hidden=(32, 8), activation="tanh", key=key)
    ```
    """

    def __init__(
        self,
        *,
        data_set: LabelledImages,
        hidden: tuple[int, ...] = (32, 8),
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
        widths = (*hidden, *reversed(hidden[:-1]))
        pixels = self.data.size
        sizes = (pixels, *hidden_sizes("hidden", widths, padded_to), pixels)
        self.network = DenseLayers(sizes, Activation(activation), Initialization(initialization))

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        del key
        pixels = flat(batch)
        return jnp.mean(jnp.square(self.network(params, pixels) - pixels))

    def sample_batch(self, key: Key[Array, ""]) -> Batch:
        images, _ = self.data.minibatch(key)
        return images

    def full_batch(self) -> Batch:
        images, _ = self.data.everything()
        return images

    def validation_batch(self) -> Batch:
        images, _ = self.data.validation()
        return images

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        stripes = striped_images(8, (3, 2, 1), classes=3)
        key = jax.random.key(0)
        return [cls(data_set=stripes, hidden=(3, 2), padded_to=3, samples=6, batch_size=2, key=key)]
