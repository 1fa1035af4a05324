"""A valley that winds to infinity, seen in minibatches: PAPER.md section 5.2."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from lopt.problems.base import Batch, Params, Problem
from lopt.problems.column_sums import ColumnSums, Sampling
from lopt.problems.padding import Size

SMALLEST_SQUARED_LENGTH = 1e-12

Bits = Bool[Array, "samples room"]


class OutwardSnake(Problem):
    """An oscillating valley of many dimensions whose minimum is at infinity.

    Each coordinate has its valley at pi times the cosine of the one before, and the floor
    falls with the length of the params. With samples of random bits `x`: the sum over samples of
    `x[0] / |params|` and of `(x[j] (params[j] - pi cos(params[j - 1])))^2` for `j` from 1 on,
    a sum and not a mean, as in the paper's code. Where that adds 1e-6 to the length, here
    1e-12 is added to its square, so that 0 has derivatives.

    Params: float32 `[dimensions]`, or `[padded_to]`; at least 2. With `padded_to`,
    `samples_room` and `batch_room`, which 0 switches off, problems of several sizes share
    one program. `OutwardSnake` of Wichrowska et al. 2017's code.

    **Example**

    ```python
    problem = OutwardSnake(dimensions=20, samples=1000, batch_size=100, key=key)
    ```
    """

    bits: Bits
    everything: ColumnSums
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
        self.size = Size("dimensions", dimensions, padded_to, at_least=2)
        self.sampling = Sampling(
            samples=samples,
            batch_size=batch_size,
            samples_room=samples_room,
            batch_room=batch_room,
        )
        self.bits, self.everything = self._drawn(key)

    def init(self, key: Key[Array, ""]) -> Params:
        return self.size.only_real(jax.random.normal(key, (self.size.room,), jnp.float32), 0)

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        del key
        real = self.size.only_real(params, 0)
        closeness = jax.lax.rsqrt(jnp.sum(jnp.square(real)) + SMALLEST_SQUARED_LENGTH)
        from_valley = real[1:] - math.pi * jnp.cos(real[:-1])
        return jnp.sum(batch.sums * jnp.append(closeness, jnp.square(from_valley)))

    def draw(self, key: Key[Array, ""]) -> "OutwardSnake":
        redrawn: OutwardSnake = eqx.tree_at(
            lambda one: (one.bits, one.everything), self, self._drawn(key)
        )
        return redrawn

    def sample_batch(self, key: Key[Array, ""]) -> Batch:
        return self.sampling.minibatch(
            key, lambda numbers: self.bits[numbers].astype(jnp.float32), self.everything
        )

    def full_batch(self) -> Batch:
        return self.everything

    def valid(self) -> Params | None:
        return self.size.valid((self.size.room,), 0)

    def _drawn(self, key: Key[Array, ""]) -> tuple[Bits, ColumnSums]:
        samples = self.sampling.samples
        is_entry = samples.is_real()[:, None] & self.size.is_real()[None, :]
        bits = jax.random.bernoulli(key, 0.5, is_entry.shape) & is_entry
        # Bits are their own squares, so their sums are all that the loss needs.
        sums = jnp.sum(bits, axis=0, dtype=jnp.int32).astype(jnp.float32)
        return bits, ColumnSums(samples.count().astype(jnp.float32), sums)

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        rooms = {"padded_to": 5, "samples_room": 9, "batch_room": 4}
        return [cls(dimensions=3, samples=7, batch_size=2, **rooms, key=jax.random.key(0))]
