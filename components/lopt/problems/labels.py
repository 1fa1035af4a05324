"""Problems with labelled data whose labels are not always right."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from lopt.problems.arguments import scalar
from lopt.problems.base import Batch, Problem
from lopt.problems.classifiers import SoftmaxRegression
from lopt.problems.minibatches import Minibatches
from lopt.problems.transforms import Transform, innermost


@runtime_checkable
class Labelled(Protocol):
    """What a problem whose batch is `(inputs, labels)` has: labels are whole numbers below this.

    **Example**

    ```python
    assert isinstance(SoftmaxRegression(features=10, key=key), Labelled)
    ```
    """

    @property
    def classes(self) -> int | Int[Array, ""]: ...


class LabelNoise(Transform):
    """The inner problem with wrong labels in every minibatch.

    At each step each label is replaced, with `probability`, by one drawn from all classes
    alike, the right one included. The meta-loss is that of the right labels. `probability`
    may be 0, so that noisy and noise-free entries share one program.

    Raises `ValueError` if the inner problem, behind its transforms, is not `Labelled`, or if it
    repeats the rows of its minibatches: each repetition would have a label of its own, and
    `batch_padded_to` would make another problem.

    **Example**

    ```python
    problem = LabelNoise(SoftmaxRegression(features=10, key=key), probability=0.2)
    ```
    """

    probability: Float[Array, ""]

    def __init__(self, inner: Problem, *, probability: float) -> None:
        _labelled(inner)
        _check_no_row_is_repeated(inner)
        self.inner = inner
        self.probability = scalar("probability", probability, at_least=0.0, below=1.0)

    def sample_batch(self, key: Key[Array, ""]) -> Batch:
        inner_key, choice_key, label_key = jax.random.split(key, 3)
        inputs, labels = self.inner.sample_batch(inner_key)
        is_wrong = jax.random.uniform(choice_key, labels.shape, jnp.float32) < self.probability
        classes = _labelled(self.inner).classes
        drawn = jax.random.randint(label_key, labels.shape, 0, classes, labels.dtype)
        return inputs, jnp.where(is_wrong, drawn, labels)

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        key = jax.random.key(0)
        regression = SoftmaxRegression(features=3, classes=3, samples=16, batch_size=4, key=key)
        return [cls(regression, probability=0.5), cls(regression, probability=0.0)]


def _labelled(problem: Problem) -> Labelled:
    labelled = innermost(problem)
    if isinstance(labelled, Labelled):
        return labelled
    raise ValueError(
        f"The labels of {type(labelled).__name__} cannot be noisy, because it has none: take an "
        f"inner problem that classifies, with the number of its `classes` as an attribute."
    )


def _check_no_row_is_repeated(problem: Problem) -> None:
    nodes = jax.tree.leaves(problem, is_leaf=lambda node: isinstance(node, Minibatches))
    for node in nodes:
        if isinstance(node, Minibatches) and node.size.is_padded():
            raise ValueError(
                f"The minibatches of {type(innermost(problem)).__name__} repeat their rows up to "
                f"batch_padded_to={node.size.room}, and a row would get a label at each "
                f"repetition: leave batch_padded_to at 0 for noisy labels."
            )
