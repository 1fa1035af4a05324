"""Labelled samples drawn from a key, wholly inside traced code: PAPER.md section 5.3."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from lopt.problems.arguments import whole
from lopt.problems.minibatches import minibatch

CLUSTERS_PER_CLASS = 2
FLIPPED_LABELS = 0.01
TEACHER_LAYERS = 6
TEACHER_WIDTH = 20

Inputs = Float[Array, "samples features"]
Labels = Int[Array, " samples"]


class Samples(eqx.Module):
    """A data set as leaves: float32 inputs, int32 labels, and the size of a minibatch.

    **Example**

    ```python
    samples = Samples(*hypercube_clusters(key, 1000, 10, 2, jnp.float32(2.0)), batch_size=100)
    inputs, labels = samples.minibatch(key)
    ```
    """

    inputs: Inputs
    labels: Labels
    batch_size: int = eqx.field(static=True)

    def __init__(self, inputs: Inputs, labels: Labels, *, batch_size: int) -> None:
        self.inputs = inputs
        self.labels = labels
        self.batch_size = whole("batch_size", batch_size, at_least=1)

    def everything(self) -> tuple[Inputs, Labels]:
        """Return all inputs and labels, in order."""
        return self.inputs, self.labels

    def minibatch(self, key: Key[Array, ""]) -> tuple[Inputs, Labels]:
        """Draw `batch_size` samples as `lopt.problems.minibatches.minibatch` does."""
        return minibatch(self.everything(), self.batch_size, key)


def hypercube_clusters(
    key: Key[Array, ""], samples: int, features: int, classes: int, separation: Float[Array, ""]
) -> tuple[Inputs, Labels]:
    """Draw samples around corners of a hypercube, two clusters for each class.

    After scikit-learn's `make_classification` with all features informative: corners of a
    hypercube of side `2 * separation`, in each cluster Gaussian samples mixed by a matrix
    with entries uniform in (-1, 1), one label in a hundred drawn anew. It differs so that it
    can be traced: corners are kept apart by writing the number of the cluster into a few
    neighbouring coordinates, and sample `i` belongs to cluster `i` modulo their number.

    Needs enough features for the corners to differ; raises `ValueError` otherwise.
    https://scikit-learn.org/stable/modules/generated/sklearn.datasets.make_classification.html

    **Example**

    ```python
    inputs, labels = hypercube_clusters(jax.random.key(0), 1000, 10, 2, jnp.float32(2.0))
    ```
    """
    clusters = CLUSTERS_PER_CLASS * classes
    whole("features", features, at_least=(clusters - 1).bit_length())
    corner_key, mixing_key, sample_key, flip_key = jax.random.split(key, 4)
    corners = separation * _different_corners(corner_key, clusters, features)
    mixing = jax.random.uniform(mixing_key, (clusters, features, features), jnp.float32, -1.0, 1.0)
    rounds = -(-samples // clusters)
    normal = jax.random.normal(sample_key, (rounds, clusters, features), jnp.float32)
    inputs = jnp.einsum("rci,cij->rcj", normal, mixing) + corners[None]
    labels = jnp.arange(samples, dtype=jnp.int32) % clusters % classes
    return inputs.reshape(-1, features)[:samples], _with_flips(flip_key, labels, classes)


def _different_corners(
    key: Key[Array, ""], clusters: int, features: int
) -> Float[Array, "clusters features"]:
    sign_key, place_key = jax.random.split(key)
    bits = jax.random.bernoulli(sign_key, 0.5, (clusters, features))
    digits = jnp.arange((clusters - 1).bit_length(), dtype=jnp.int32)
    numbers = jnp.arange(clusters, dtype=jnp.int32)
    digit_is_set = (numbers[:, None] >> digits[None, :]) % 2 == 1
    places = (jax.random.randint(place_key, (), 0, features, jnp.int32) + digits) % features
    return jnp.where(bits.at[:, places].set(digit_is_set), 1.0, -1.0)


def _with_flips(key: Key[Array, ""], labels: Labels, classes: int) -> Labels:
    # One uniform number says whether a label is drawn anew and, where it is, which one it gets.
    share = jax.random.uniform(key, labels.shape, jnp.float32) / FLIPPED_LABELS
    return jnp.where(share < 1, (share * classes).astype(jnp.int32), labels)


def teacher_labels(key: Key[Array, ""], samples: int, features: int) -> tuple[Inputs, Labels]:
    """Draw Gaussian inputs and label each by a random ReLU network: 0 or 1, half of each.

    Six layers of width 20 without biases, weights of standard deviation `sqrt(2 / features)`
    in every layer as in the paper's code. There, the label says whether the last layer's
    first unit is above 0, and in a quarter of the draws nearly all labels are equal; here it
    says whether it is above its median before the last ReLU, so both labels are as frequent.

    **Example**

    ```python
    inputs, labels = teacher_labels(jax.random.key(0), samples=1000, features=8)
    ```
    """
    input_key, first_key, later_key = jax.random.split(key, 3)
    inputs = jax.random.normal(input_key, (samples, features), jnp.float32)
    first = jax.random.normal(first_key, (features, TEACHER_WIDTH), jnp.float32)
    later_shape = (TEACHER_LAYERS - 1, TEACHER_WIDTH, TEACHER_WIDTH)
    std = (2 / features) ** 0.5
    before = std * (inputs @ first)
    for weights in jax.random.normal(later_key, later_shape, jnp.float32):
        before = std * (jax.nn.relu(before) @ weights)
    score = before[:, 0]
    return inputs, (score > jnp.median(score)).astype(jnp.int32)
