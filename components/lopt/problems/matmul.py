"""Finding fast algorithms for the product of two matrices: PAPER.md section 5.2."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from lopt.problems.arguments import whole
from lopt.problems.base import Batch, Params, Problem
from lopt.problems.padding import Size

RIDGE = 1e-5
SOLVES = 2
SMALLEST_SQUARE = 1e-12

Factor = Float[Array, "entries room"]

# On accelerators the default is to multiply with a mantissa of 10 bits, which is not enough here.
_EXACT = jax.lax.Precision.HIGHEST


class MatMulAlgorithm(Problem):
    """How far `rank` products of numbers are from giving the product of two matrices.

    Strassen's algorithm and its kin: every one of the products is a linear form of the
    entries of the left `[size, size]` matrix times one of the right matrix, the params hold
    the coefficients of these forms, and the linear combination of the products that comes
    closest is found by least squares. The loss is its squared error, summed over the entries
    of the product of each pair of unit matrices, so it is at most `size^3`. It can get to 0
    for size 2 from rank 7 on, for size 3 from rank 23 on.

    Params: two float32 `[size^2, rank]`, or `[size^2, padded_to]` where problems of several
    ranks are to share one program; columns begin as random unit vectors.

    As in the paper's code, the length of a column means nothing, but the least squares are
    solved otherwise, so that float32 does: columns are brought to length 1 first (those
    below 1e-6 are not), the normal equations get a ridge of 1e-5 and are solved once more for
    what the first solution left, and the loss is the sum of squares of what the second left.
    Where products are nearly dependent, this is above the paper's loss; it is never negative
    and always finite.

    **Example**

    ```python
    problem = MatMulAlgorithm(size=2, rank=7)
    ```
    """

    rank: Size
    matrix_size: int = eqx.field(static=True)

    def __init__(self, *, size: int, rank: int, padded_to: int = 0) -> None:
        self.matrix_size = whole("size", size, at_least=1)
        self.rank = Size("rank", rank, padded_to)

    def init(self, key: Key[Array, ""]) -> Params:
        left, right = jax.random.normal(key, (2, *self._shape()), jnp.float32)
        return self._unit_columns(left), self._unit_columns(right)

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        del batch, key
        left, right = (self._unit_columns(factor) for factor in params)
        return jnp.sum(jnp.square(_residual(left, right, unit_products(self.matrix_size))))

    def draw(self, key: Key[Array, ""]) -> "MatMulAlgorithm":
        del key
        return self

    def valid(self) -> Params | None:
        of_factor = self.rank.valid(self._shape(), 1)
        return None if of_factor is None else (of_factor, of_factor)

    def _shape(self) -> tuple[int, int]:
        return self.matrix_size**2, self.rank.room

    def _unit_columns(self, factor: Factor) -> Factor:
        real = self.rank.only_real(factor, 1)
        squares = jnp.sum(jnp.square(real), axis=0, keepdims=True)
        return real * jax.lax.rsqrt(squares + SMALLEST_SQUARE)

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        return [cls(size=2, rank=5, padded_to=6)]


def unit_products(size: int) -> Float[Array, "pairs entries"]:
    """Return the products of all pairs of unit matrices, a row of entries for each pair.

    A unit matrix has one entry 1 and else 0. Rows are ordered by the left matrix first.

    **Example**

    ```python
    assert unit_products(2).shape == (16, 4)
    ```
    """
    unit = np.eye(size**2, dtype=np.float32).reshape(size**2, size, size)
    products = np.einsum("aij,bjk->abik", unit, unit)
    return jnp.asarray(products.reshape(size**4, size**2))


def _residual(
    left: Factor, right: Factor, wanted: Float[Array, "pairs entries"]
) -> Float[Array, "pairs entries"]:
    """What is left of the wanted products beside the columns' products of left and right."""
    products = (left[:, None, :] * right[None, :, :]).reshape(-1, left.shape[-1])
    gram = _multiply(left.T, left) * _multiply(right.T, right)
    ridged = gram + RIDGE * jnp.eye(gram.shape[-1], dtype=jnp.float32)
    remaining = wanted
    for _ in range(SOLVES):
        projected = _multiply(products.T, remaining)
        weights = jax.scipy.linalg.solve(ridged, projected, assume_a="pos")
        remaining = remaining - _multiply(products, weights)
    return remaining


def _multiply(one: Float[Array, "a b"], other: Float[Array, "b c"]) -> Float[Array, "a c"]:
    return jnp.matmul(one, other, precision=_EXACT)
