"""Problems on which everything is slow: PAPER.md section 5.2."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from lopt.problems.base import Batch, Params, Problem
from lopt.problems.padding import Size

CHAIN_OFFSET = 1e-6
WELL_OFFSET = 1e-10


class DependencyChain(Problem):
    """A chain whose every link pulls the harder, the smaller the one before it has become.

    `links * p[0]^2 + sum over j of p[j]^2 / (p[j - 1]^2 + 1e-6)`: a param can only get small
    after those behind it have. Params: float32 `[links + 1]`, or `[padded_to + 1]` where
    chains of up to `padded_to` links are to share one program; 0 means no padding. The least
    value is 0. `DependencyChain` of Wichrowska et al. 2017's code, where data are handed in
    and not used; here there are none.

    **Example**

    ```python
    problem = DependencyChain(links=20)
    ```
    """

    links: Size

    def __init__(self, *, links: int, padded_to: int = 0) -> None:
        self.links = Size("links", links, padded_to)

    def init(self, key: Key[Array, ""]) -> Params:
        return self._real(jax.random.normal(key, (1 + self.links.room,), jnp.float32))

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        del batch, key
        squares = jnp.square(self._real(params))
        links = self.links.count().astype(jnp.float32)
        return links * squares[0] + jnp.sum(squares[1:] / (squares[:-1] + CHAIN_OFFSET))

    def draw(self, key: Key[Array, ""]) -> "DependencyChain":
        del key
        return self

    def valid(self) -> Params | None:
        if not self.links.is_padded():
            return None
        # The param before the first link is always real.
        return jnp.concatenate([jnp.ones(1, bool), self.links.is_real()])

    def _real(self, params: Float[Array, " entries"]) -> Float[Array, " entries"]:
        return jnp.concatenate([params[:1], self.links.only_real(params[1:], 0)])

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        return [cls(links=2, padded_to=4)]


class MinMaxWell(Problem):
    """A loss that depends on the largest and the smallest param only.

    `max + 1 / min - 2` of the squared params: only two of them have a gradient, and which
    ones changes on the way. The least value, 0, is where all are 1 or -1. Params: float32
    `[dimensions]`, or `[padded_to]` where several sizes are to share one program; 0 means no
    padding. `MinMaxWell` of Wichrowska et al. 2017's code, but as a sum that rounding cannot
    make negative, `(max - min) + (min - 1)^2 / (min + 1e-10)`, which is also finite where a
    param is 0, and without the 1e-12 that is added there.

    **Example**

    ```python
    problem = MinMaxWell(dimensions=20)
    ```
    """

    size: Size

    def __init__(self, *, dimensions: int, padded_to: int = 0) -> None:
        self.size = Size("dimensions", dimensions, padded_to)

    def init(self, key: Key[Array, ""]) -> Params:
        return self.size.only_real(jax.random.normal(key, (self.size.room,), jnp.float32), 0)

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        del batch, key
        squares, is_real = jnp.square(params), self.size.is_real()
        largest = jnp.max(jnp.where(is_real, squares, -jnp.inf))
        smallest = jnp.min(jnp.where(is_real, squares, jnp.inf))
        return (largest - smallest) + jnp.square(smallest - 1) / (smallest + WELL_OFFSET)

    def draw(self, key: Key[Array, ""]) -> "MinMaxWell":
        del key
        return self

    def valid(self) -> Params | None:
        return self.size.valid((self.size.room,), 0)

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        return [cls(dimensions=3, padded_to=5)]
