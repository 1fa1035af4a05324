"""Problems that show their data in minibatches of another size."""

from collections.abc import Sequence

import equinox as eqx
import jax
from jaxtyping import Array, Key

from lopt.problems.arguments import whole
from lopt.problems.base import Batch, Problem
from lopt.problems.classifiers import SoftmaxRegression
from lopt.problems.transforms import Transform


class BatchSize(Transform):
    """The inner problem with `batch_size` rows in a minibatch, however many it has itself.

    Changes how noisy the gradients of one and the same problem are. As many inner
    minibatches are drawn as are needed, and if that is too many rows, a random choice of
    them without replacement: the inner problem may show all its data, in order, at each step.

    Raises `ValueError` if the arrays of an inner minibatch have no first axis in common.

    **Example**

    ```python
    problem = BatchSize(SoftmaxRegression(features=10, key=key), batch_size=7)
    ```
    """

    batch_size: int = eqx.field(static=True)

    def __init__(self, inner: Problem, *, batch_size: int) -> None:
        self.inner = inner
        self.batch_size = whole("batch_size", batch_size, at_least=1)
        _rows(inner)

    def sample_batch(self, key: Key[Array, ""]) -> Batch:
        inner_key, choice_key = jax.random.split(key)
        minibatches = -(-self.batch_size // _rows(self.inner))
        drawn = minibatches * _rows(self.inner)
        inner_keys = jax.random.split(inner_key, minibatches)
        stacked = jax.vmap(self.inner.sample_batch)(inner_keys)
        batch = jax.tree.map(lambda leaf: leaf.reshape(drawn, *leaf.shape[2:]), stacked)
        if drawn == self.batch_size:
            return batch
        chosen = jax.random.permutation(choice_key, drawn)[: self.batch_size]
        return jax.tree.map(lambda leaf: leaf[chosen], batch)

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        key = jax.random.key(0)
        in_order = SoftmaxRegression(features=2, samples=8, batch_size=8, key=key)
        regression = SoftmaxRegression(features=2, samples=8, batch_size=4, key=key)
        return [cls(in_order, batch_size=5), cls(regression, batch_size=6)]


def _rows(problem: Problem) -> int:
    """Return the number of rows of a minibatch."""
    batch = jax.eval_shape(lambda: problem.sample_batch(jax.random.key(0)))
    shapes = [leaf.shape for leaf in jax.tree.leaves(batch)]
    if shapes and all(shape[:1] == shapes[0][:1] != () for shape in shapes):
        return int(shapes[0][0])
    raise ValueError(
        f"{type(problem).__name__} has no minibatches of another size, because its batch is not "
        f"made of arrays with one first axis in common: their shapes are {shapes}. Take a problem "
        f"with data, and change the parts of a sum one by one."
    )
