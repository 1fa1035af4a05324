"""Quadratics of which every minibatch shows another one: PAPER.md section 5.2.

The samples are symmetric, half of them Gaussian and the others their negatives: `random_symmetric`
of Wichrowska et al. 2017's code, PAPER.md section 5.3. Only the first half is stored. As there,
losses are sums over samples, not means.
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from lopt.problems.base import Batch, Params, Problem
from lopt.problems.column_sums import ColumnSums, Sampling
from lopt.problems.padding import Size

Half = Float[Array, "pairs room"]


class SymmetricQuadratic(Problem):
    """A quadratic on samples of which half are the negatives of the others.

    Params: float32 `[1, dimensions]`, or `[1, padded_to]`. With `padded_to`, `samples_room` and
    `batch_room`, which 0 switches off, problems of several sizes share one program. A subclass
    says what is lost.

    Raises `ValueError` for an odd number of samples.

    **Example**

    ```python
    assert isinstance(problem, SymmetricQuadratic)
    problem.half.shape  # (500, 20)
    ```
    """

    half: Half
    sampling: Sampling
    size: Size

    def __init__(
        self,
        *,
        dimensions: int,
        samples: int = 1000,
        batch_size: int = 100,
        padded_to: int = 0,
        samples_room: int = 0,
        batch_room: int = 0,
        key: Key[Array, ""],
    ) -> None:
        self.size = Size("dimensions", dimensions, padded_to)
        self.sampling = Sampling(
            samples=_even(samples),
            batch_size=batch_size,
            samples_room=samples_room,
            batch_room=batch_room,
        )
        self.half = _gaussian_half(key, self.sampling.samples, self.size)
        self._keep_more()

    def _keep_more(self) -> None:
        """Set the fields that a subclass has beside these, while it is being made."""

    def init(self, key: Key[Array, ""]) -> Params:
        return self.size.only_real(jax.random.normal(key, (1, self.size.room), jnp.float32), 1)

    def draw(self, key: Key[Array, ""]) -> "SymmetricQuadratic":
        half = _gaussian_half(key, self.sampling.samples, self.size)
        redrawn: SymmetricQuadratic = eqx.tree_at(lambda one: one.half, self, half)
        return redrawn

    def valid(self) -> Params | None:
        return self.size.valid((1, self.size.room), 1)

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        rooms = {"padded_to": 5, "samples_room": 8, "batch_room": 4}
        return [cls(dimensions=3, samples=6, batch_size=2, **rooms, key=jax.random.key(0))]


class ProjectionQuadratic(SymmetricQuadratic):
    """The squares of the params times those of random inputs, summed over a minibatch.

    `sum over samples and coordinates of (params * sample)^2`: a bowl along the
    axes whose curvatures are different in every minibatch, a noise that vanishes at the minimum,
    0. Params: float32 `[1, dimensions]`, or `[1, padded_to]`. With `padded_to`, `samples_room` and
    `batch_room`, which 0 switches off, problems of several sizes share one program.
    `ProjectionQuadratic` of Wichrowska et al. 2017's code.

    Raises `ValueError` for an odd number of samples.

    **Example**

    ```python
    problem = ProjectionQuadratic(dimensions=20, samples=1000, batch_size=100, key=key)
    ```
    """

    everything: ColumnSums

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        del key
        return jnp.sum(jnp.square(params[0]) * batch.sums)

    def draw(self, key: Key[Array, ""]) -> "ProjectionQuadratic":
        half = super().draw(key).half
        redrawn: ProjectionQuadratic = eqx.tree_at(
            lambda one: (one.half, one.everything), self, (half, self._sums(half))
        )
        return redrawn

    def sample_batch(self, key: Key[Array, ""]) -> Batch:
        pairs = self.sampling.samples.count() // 2
        return self.sampling.minibatch(
            key, lambda numbers: jnp.square(self.half[numbers % pairs]), self.everything
        )

    def full_batch(self) -> Batch:
        return self.everything

    def _keep_more(self) -> None:
        self.everything = self._sums(self.half)

    def _sums(self, half: Half) -> ColumnSums:
        count = self.sampling.samples.count().astype(jnp.float32)
        return ColumnSums(count, 2 * jnp.sum(jnp.square(half), axis=0))


class SumOfQuadratics(SymmetricQuadratic):
    """The squared distances of the params from samples, less what cannot be avoided.

    `sum over samples of |params - sample|^2 - |sample|^2`: all samples together pull to 0,
    where the loss is 0, and each minibatch pulls somewhere else, near the minimum, too. Of a
    minibatch it can be negative; of all samples it is not, even after rounding, because they
    sum to 0 exactly. Params: float32 `[1, dimensions]`, or `[1, padded_to]`. With
    `padded_to`, `samples_room` and `batch_room`, which 0 switches off, problems of several
    sizes share one program. `SumOfQuadratics` of Wichrowska et al. 2017's code, which adds
    1e-12.

    Raises `ValueError` for an odd number of samples.

    **Example**

    ```python
    problem = SumOfQuadratics(dimensions=20, samples=1000, batch_size=100, key=key)
    ```
    """

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        del key
        real = self.size.only_real(params, 1)[0]
        return jnp.sum(batch.rows * jnp.square(real) - 2 * real * batch.sums)

    def sample_batch(self, key: Key[Array, ""]) -> Batch:
        pairs = self.sampling.samples.count() // 2

        def rows_at(numbers: Int[Array, " rows"]) -> Float[Array, "rows room"]:
            rows = self.half[numbers % pairs]
            return jnp.where((numbers < pairs)[:, None], rows, -rows)

        return self.sampling.minibatch(key, rows_at, self.full_batch())

    def full_batch(self) -> Batch:
        count = self.sampling.samples.count().astype(jnp.float32)
        return ColumnSums(count, jnp.zeros(self.size.room, jnp.float32))


def _even(samples: int) -> int:
    if samples % 2:
        raise ValueError(
            f"samples must be an even number, because half of them are the negatives of the "
            f"others, but is {samples!r}."
        )
    return samples


def _gaussian_half(key: Key[Array, ""], samples: Size, columns: Size) -> Half:
    """Draw the samples whose negatives are the others, with zeros for padding."""
    shape = (samples.room // 2, columns.room)
    is_sample = jnp.arange(shape[0], dtype=jnp.int32) < samples.count() // 2
    normal = columns.only_real(jax.random.normal(key, shape, jnp.float32), 1)
    return jnp.where(is_sample[:, None], normal, 0.0)
