"""Classifiers of whole numbers by way of an embedding: PAPER.md section 5.2."""

from abc import abstractmethod
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from lopt.problems.arguments import scalar, whole
from lopt.problems.base import Batch, Params, Problem
from lopt.problems.layers import INIT_SCALE, penalized_cross_entropy
from lopt.problems.minibatches import minibatch

Ids = Int[Array, "samples ids"]
Labels = Int[Array, " samples"]
Table = Float[Array, "classes features"]


class EmbeddedParity(Problem):
    """A softmax regression on the summed embeddings of the ids of a sample.

    The data are `noisy_parity`. Params, float32: the table of embeddings `[classes, features]`,
    a row for each id, weights `[features, classes]` and bias `[classes]`, Gaussian with
    standard deviation `1.2 / sqrt(shape[0])`. A subclass says how embeddings are looked up.

    **Example**

    ```python
    assert isinstance(problem, EmbeddedParity)
    table, weights, bias = problem.init(key)
    ```
    """

    ids: Ids
    labels: Labels
    noise: Float[Array, ""]
    features: int = eqx.field(static=True)
    classes: int = eqx.field(static=True)
    batch_size: int = eqx.field(static=True)

    def __init__(
        self,
        *,
        features: int,
        classes: int = 2,
        ids: int = 5,
        samples: int = 5,
        batch_size: int = 23,
        noise: float = 0.25,
        key: Key[Array, ""],
    ) -> None:
        self.features = whole("features", features, at_least=1)
        self.classes = whole("classes", classes, at_least=2)
        self.batch_size = whole("batch_size", batch_size, at_least=1)
        self.noise = scalar("noise", noise, at_least=0.0, below=1.0)
        shape = whole("samples", samples, at_least=1), whole("ids", ids, at_least=1)
        self.ids, self.labels = noisy_parity(key, shape, classes, self.noise)

    @abstractmethod
    def embeddings(self, table: Table, ids: Ids) -> Float[Array, "samples features"]:
        """Return the sum of the embeddings of the ids of each sample."""

    def init(self, key: Key[Array, ""]) -> Params:
        table_key, weights_key, bias_key = jax.random.split(key, 3)
        shapes = (self.classes, self.features), (self.features, self.classes), (self.classes,)
        keys = table_key, weights_key, bias_key
        return tuple(
            INIT_SCALE / shape[0] ** 0.5 * jax.random.normal(own_key, shape, jnp.float32)
            for own_key, shape in zip(keys, shapes, strict=True)
        )

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        del key
        (table, weights, bias), (ids, labels) = params, batch
        logits = self.embeddings(table, ids) @ weights + bias[None, :]
        return penalized_cross_entropy(logits, labels, params)

    def draw(self, key: Key[Array, ""]) -> "EmbeddedParity":
        drawn = noisy_parity(key, self.ids.shape, self.classes, self.noise)
        redrawn: EmbeddedParity = eqx.tree_at(lambda one: (one.ids, one.labels), self, drawn)
        return redrawn

    def sample_batch(self, key: Key[Array, ""]) -> Batch:
        return minibatch((self.ids, self.labels), self.batch_size, key)

    def full_batch(self) -> Batch:
        return self.ids, self.labels

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        return [cls(features=2, classes=3, batch_size=2, key=jax.random.key(0))]


class SparseSoftmaxRegression(EmbeddedParity):
    """Softmax regression on embeddings that are looked up by the ids of a sample.

    By default a batch holds all five samples, as in the ensemble of Wichrowska et al. 2017's
    code, where the gradient of the table is a list of rows. In JAX gradients are dense: rows
    that are not looked up have a gradient of 0 but for the penalty, and the numbers are those
    of `OneHotSparseSoftmaxRegression`. The paper's code looks at the first logit only.

    **Example**

    ```python
    problem = SparseSoftmaxRegression(features=5, key=jax.random.key(0))
    ```
    """

    def embeddings(self, table: Table, ids: Ids) -> Float[Array, "samples features"]:
        return jnp.sum(table[ids], axis=1)


class OneHotSparseSoftmaxRegression(EmbeddedParity):
    """The same function as `SparseSoftmaxRegression`, by multiplying with one-hot vectors.

    **Example**

    ```python
    problem = OneHotSparseSoftmaxRegression(features=5, key=jax.random.key(0))
    ```
    """

    def embeddings(self, table: Table, ids: Ids) -> Float[Array, "samples features"]:
        occurrences = jnp.sum(jax.nn.one_hot(ids, self.classes, dtype=jnp.float32), axis=1)
        return occurrences @ table


def noisy_parity(
    key: Key[Array, ""], shape: tuple[int, ...], classes: int, noise: Float[Array, ""]
) -> tuple[Ids, Labels]:
    """Draw ids below `classes`, labelled by their sum modulo `classes`, sometimes one too high.

    `shape` is that of the ids, `(samples, ids of a sample)`, and `noise` the probability of a
    label to be one too high, modulo `classes`. Ids and labels are int32.
    `noisy_parity_class` of Wichrowska et al. 2017's code; PAPER.md section 5.3.

    **Example**

    ```python
    ids, labels = noisy_parity(jax.random.key(0), (5, 5), 2, jnp.float32(0.25))
    ```
    """
    id_key, noise_key = jax.random.split(key)
    drawn = jax.random.randint(id_key, shape, 0, classes, jnp.int32)
    is_off = jax.random.bernoulli(noise_key, noise, shape[:1])
    return drawn, (jnp.sum(drawn, axis=1) + is_off.astype(jnp.int32)) % classes
