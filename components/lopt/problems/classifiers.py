"""Small classifiers on generated data: PAPER.md section 5.2."""

from collections.abc import Sequence
from typing import ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from lopt.problems.activations import FUNCTIONS
from lopt.problems.arguments import one_of, scalar, whole
from lopt.problems.base import Batch, Params, Problem
from lopt.problems.generated_data import Samples, hypercube_clusters, teacher_labels
from lopt.problems.layers import classification_loss, init_layers


class SoftmaxRegression(Problem):
    """Logistic regression on Gaussian clusters, with minibatches.

    A convex problem with the noise of real training: mostly separable data, seen a minibatch
    at a time. Params: `((weights [features, classes], bias [classes]),)`, float32. The data
    are leaves, and `draw` draws them anew, where the paper's code always has the same ones.

    **Example**

    ```python
    problem = SoftmaxRegression(features=10, separation=2.0, batch_size=100, key=key)
    ```
    """

    samples: Samples
    separation: Float[Array, ""]
    classes: int = eqx.field(static=True)

    def __init__(
        self,
        *,
        features: int,
        classes: int = 2,
        samples: int = 1000,
        batch_size: int = 100,
        separation: float = 1.0,
        key: Key[Array, ""],
    ) -> None:
        self.classes = whole("classes", classes, at_least=2)
        self.separation = scalar("separation", separation, above=0.0)
        count = whole("samples", samples, at_least=1)
        whole("batch_size", batch_size, at_least=1)
        drawn = hypercube_clusters(key, count, features, classes, self.separation)
        self.samples = Samples(*drawn, batch_size=batch_size)

    def init(self, key: Key[Array, ""]) -> Params:
        return init_layers(key, (self.samples.inputs.shape[-1], self.classes))

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        del key
        return classification_loss(params, batch, jax.nn.relu)

    def draw(self, key: Key[Array, ""]) -> "SoftmaxRegression":
        count, features = self.samples.inputs.shape[-2:]
        drawn = hypercube_clusters(key, count, features, self.classes, self.separation)
        samples = Samples(*drawn, batch_size=self.samples.batch_size)
        redrawn: SoftmaxRegression = eqx.tree_at(lambda problem: problem.samples, self, samples)
        return redrawn

    def sample_batch(self, key: Key[Array, ""]) -> Batch:
        return self.samples.minibatch(key)

    def full_batch(self) -> Batch:
        return self.samples.everything()

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        key = jax.random.key(0)
        whole_batch = cls(features=3, classes=3, samples=11, batch_size=100, key=key)
        return [cls(features=4, samples=32, batch_size=8, separation=2.0, key=key), whole_batch]


class FullyConnected(Problem):
    """A small network that has to tell what a random network says of Gaussian inputs.

    The ensemble's neural networks, of up to a few thousand params. `hidden` holds the widths
    of the hidden layers and `activation` follows each of them. Params: a tuple of
    `(weights, bias)`, float32. `draw` draws inputs and labels anew.

    **Example**

    ```python
    problem = FullyConnected(features=8, hidden=(8, 5), batch_size=10, key=key)
    ```
    """

    classes: ClassVar[int] = 2

    samples: Samples
    hidden: tuple[int, ...] = eqx.field(static=True)
    activation: str = eqx.field(static=True)

    def __init__(
        self,
        *,
        features: int,
        hidden: tuple[int, ...] = (32, 64),
        activation: str = "sigmoid",
        samples: int = 1000,
        batch_size: int = 100,
        key: Key[Array, ""],
    ) -> None:
        self.hidden = tuple(whole("hidden", width, at_least=1) for width in hidden)
        self.activation = one_of("activation", activation, list(FUNCTIONS))
        whole("batch_size", batch_size, at_least=1)
        count = whole("samples", samples, at_least=2)
        drawn = teacher_labels(key, count, whole("features", features, at_least=1))
        self.samples = Samples(*drawn, batch_size=batch_size)

    def init(self, key: Key[Array, ""]) -> Params:
        return init_layers(key, (self.samples.inputs.shape[-1], *self.hidden, self.classes))

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        del key
        return classification_loss(params, batch, FUNCTIONS[self.activation])

    def draw(self, key: Key[Array, ""]) -> "FullyConnected":
        drawn = teacher_labels(key, *self.samples.inputs.shape[-2:])
        samples = Samples(*drawn, batch_size=self.samples.batch_size)
        redrawn: FullyConnected = eqx.tree_at(lambda problem: problem.samples, self, samples)
        return redrawn

    def sample_batch(self, key: Key[Array, ""]) -> Batch:
        return self.samples.minibatch(key)

    def full_batch(self) -> Batch:
        return self.samples.everything()

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        key = jax.random.key(0)
        deep = cls(features=3, hidden=(4, 3), samples=24, batch_size=6, key=key)
        return [deep, cls(features=3, hidden=(), activation="relu", samples=24, key=key)]
