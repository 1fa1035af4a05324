"""What all networks on the images of a data set have in common."""

from jaxtyping import Array, Float, Key

from lopt.problems.base import Batch, Params, Problem
from lopt.problems.convolutional_layers import ConvolutionalLayers
from lopt.problems.dense_layers import DenseLayers
from lopt.problems.images import ImageSamples


class ImageProblem(Problem):
    """A network and the images that it is trained on.

    The images are `samples` of the data set, chosen when the problem is made, and `validation`
    more on which nothing is trained. Drawing the
    problem anew keeps them, because only whoever made it has the others; initial params and
    minibatches differ all the same. A subclass makes the two fields and says what is lost.

    **Example**

    ```python
    assert isinstance(problem, ImageProblem)
    problem.data.levels.shape  # (1024, 28, 28, 1)
    ```
    """

    data: ImageSamples
    network: DenseLayers | ConvolutionalLayers

    def init(self, key: Key[Array, ""]) -> Params:
        return self.network.init(key)

    def draw(self, key: Key[Array, ""]) -> "ImageProblem":
        del key
        return self

    def sample_batch(self, key: Key[Array, ""]) -> Batch:
        return self.data.minibatch(key)

    def full_batch(self) -> Batch:
        return self.data.everything()

    def validation_batch(self) -> Batch:
        return self.data.validation()

    def valid(self) -> Params | None:
        return self.network.valid()


def flat(images: Float[Array, "images height width channels"]) -> Float[Array, "images pixels"]:
    """Return images as rows.

    **Example**

    ```python
    assert flat(jnp.ones((5, 8, 8, 1))).shape == (5, 64)
    ```
    """
    return images.reshape(images.shape[0], -1)
