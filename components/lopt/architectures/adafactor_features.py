"""What the MLP of `AdafactorMLP` is shown of every scalar, and the averages that it comes from.

Squared gradients are averaged as in Adafactor: a matrix has one average for every row and one
for every column instead of one for every scalar. Shazeer and Stern 2018,
https://arxiv.org/abs/1804.04235, section 3; here with several decays at once, and biased
towards the zeros they begin with. Features and epsilons are those of the published code of
Metz et al. 2022, google's learned_optimization, `adafac_mlp_lopt.py`;
https://arxiv.org/abs/2203.11860.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lopt.architectures.tensor_views import Means, View

TIMESCALES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5)
"""In inner steps."""


class Scalars(NamedTuple):
    """What is known of every scalar, in float32."""

    gradient: Float[Array, "batch rows columns"]
    params: Float[Array, "batch rows columns"]
    momenta: Float[Array, "decays batch rows columns"]
    mean_square: Float[Array, "batch rows columns"]


def own_width(decays: int) -> int:
    """Return how many features `own_features` has for so many momenta.

    **Example**

    ```python
    own_width(3)  # 16
    ```
    """
    return 4 + 4 * decays


def line_width(decays: int) -> int:
    """Return how many features `line_features` has for so many averages.

    **Example**

    ```python
    line_width(3)  # 12
    ```
    """
    return 4 * decays


def own_features(
    scalars: Scalars,
    gradient_factors: Float[Array, "decays batch rows columns"],
    momentum_factors: Float[Array, "decays batch rows columns"],
) -> list[Float[Array, "some batch rows columns"]]:
    """Return the features that are each scalar's own: itself, its gradient and their averages.

    Some at a time. The factors are the inverse root mean squares that the factored averages make.

    **Example**

    ```python
    features = own_features(scalars, factor.product(), factor.product())
    ```
    """
    gradient, params, momenta, mean_square = scalars
    inverse_root = jax.lax.rsqrt(mean_square + 1e-6)
    return [
        jnp.stack([gradient, params]),
        momenta,
        mean_square[None],
        momenta * repeated(inverse_root, len(momenta)),
        inverse_root[None],
        repeated(gradient, len(momenta)) * gradient_factors,
        momenta * momentum_factors,
    ]


def line_features(averages: Float[Array, "decays _ _ _"]) -> Float[Array, "twice_decays _ _ _"]:
    """Return the features that are the same along a row, or along a column.

    **Example**

    ```python
    features = [line_features(averages) for averages in shorter_axis_first(factored, means)]
    ```
    """
    return jnp.concatenate([averages, jax.lax.rsqrt(averages + 1e-8)])


def scales(mean_squares: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return what makes the features' mean squares over a tensor one, but for tiny ones.

    **Example**

    ```python
    scales(jnp.asarray([4.0, 0.0]))  # 0.5, 316
    ```
    """
    return jax.lax.rsqrt(mean_squares + 1e-5)


def time_features(inner_step: Float[Array, ""]) -> Float[Array, " timescales"]:
    """Return how far the training is on each timescale, between tanh(-1) and 1.

    **Example**

    ```python
    time_features(jnp.asarray(0.0))  # -0.76 eleven times
    ```
    """
    return jnp.tanh(inner_step / jnp.asarray(TIMESCALES, jnp.float32) - 1)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def repeated(values: Float[Array, "*shape"], times: int) -> Float[Array, "times *shape"]:
    """Return the values so many times, one after the other.

    **Example**

    ```python
    repeated(jnp.ones(4), 3).shape  # (3, 4)
    ```
    """
    return jnp.broadcast_to(values, (times, *values.shape))


# The transpose of a broadcast is a sum, for which XLA calls a library on a CPU: 600 us for three
# times 6,304 numbers. That of numbers laid one after the other is that these are added.
@repeated.defjvp
def _repeated_jvp(times: int, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return repeated(*primals, times), jnp.stack([*tangents] * times)


class FactoredAverages(NamedTuple):
    """Mean squares of a tensor's rows and columns; a vector has them for every scalar."""

    of_rows: Float[Array, "decays batch rows 1"] | None
    """`None` for a vector."""
    of_columns: Float[Array, "decays batch 1 columns"]


class Factor(NamedTuple):
    """What to divide by the root mean square with: a product of two, one for each axis."""

    of_rows: Float[Array, "decays batch rows 1"] | None
    """`None` for a vector."""
    of_columns: Float[Array, "decays batch 1 columns"]

    def product(self) -> Float[Array, "decays batch rows columns"]:
        """Return it for every scalar."""
        return self.of_columns if self.of_rows is None else _outer(self.of_rows, self.of_columns)


def no_averages(view: View, decays: int) -> FactoredAverages:
    """Return the averages before the first step: zeros.

    **Example**

    ```python
    averages = no_averages(View((784, 120)), decays=3)
    ```
    """
    batch, rows, columns = view.shape
    of_rows = jnp.zeros((decays, batch, rows, 1), jnp.float32) if view.is_matrix else None
    return FactoredAverages(of_rows, jnp.zeros((decays, batch, 1, columns), jnp.float32))


def next_averages(
    old: FactoredAverages,
    gradient: Float[Array, "batch rows columns"],
    means: Means,
    rates: Float[Array, " decays"],
) -> FactoredAverages:
    """Move the averages on by one step, at which the newest square weighs `rates`.

    **Example**

    ```python
    averages = next_averages(averages, gradient, Means(gradient.shape), jnp.array([0.1]))
    ```
    """

    def move(before: Array, now: Array) -> Array:
        return before + rates[:, None, None, None] * (repeated(now, len(before)) + 1e-30 - before)

    squares = jnp.square(gradient)
    if old.of_rows is None:
        return FactoredAverages(None, move(old.of_columns, squares))
    of_rows = move(old.of_rows, means.along(2, squares))
    return FactoredAverages(of_rows, move(old.of_columns, means.along(1, squares)))


def factors(averages: FactoredAverages, means: Means) -> tuple[Factor, ...]:
    """Return the inverse root mean squares, first for the gradient and last for its averages.

    For a matrix they are one: 1 / sqrt(row column / mean), the mean being that over all lines
    of the shorter axis.

    **Example**

    ```python
    (factor,) = factors(averages, Means((1, 784, 120)))
    ```
    """
    rows, columns = averages
    if rows is None:
        # Versions of the published code differ in the second epsilon.
        return tuple(Factor(None, jax.lax.rsqrt(columns + epsilon)) for epsilon in (1e-9, 1e-6))
    more_rows = means.more_rows()
    relative_rows = rows / (means.of_lines(1, rows) + 1e-9)
    relative_columns = columns / (means.of_lines(2, columns) + 1e-9)
    of_rows = _inverse_root(either(more_rows, rows, relative_rows))
    of_columns = _inverse_root(either(more_rows, relative_columns, columns))
    return (Factor(of_rows, of_columns),)


def shorter_axis_first(averages: FactoredAverages, means: Means) -> tuple[Array, Array]:
    """Return the averages along the shorter axis and along the longer one; a vector's twice.

    **Example**

    ```python
    of_columns, of_rows = shorter_axis_first(averages, Means((1, 784, 120)))
    ```
    """
    rows, columns = averages
    if rows is None:
        return columns, columns
    more_rows = means.more_rows()
    return either(more_rows, columns, rows), either(more_rows, rows, columns)


def either(condition: Bool[Array, ""] | bool, if_true: Array, if_false: Array) -> Array:
    """Return what `jnp.where` does, decided now if it can be.

    **Example**

    ```python
    either(True, jnp.ones(3), jnp.zeros((2, 3)))  # [1, 1, 1]
    ```
    """
    if isinstance(condition, bool):
        return if_true if condition else if_false
    return jnp.where(condition, if_true, if_false)


@jax.custom_jvp
def _outer(
    rows: Float[Array, "decays batch rows 1"], columns: Float[Array, "decays batch 1 columns"]
) -> Float[Array, "decays batch rows columns"]:
    return rows * columns


# By products of matrices, so that gradients of rows and columns are products too: sums over one
# axis of two take a CPU three times as long.
@_outer.defjvp
def _outer_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (rows, columns), (by_rows, by_columns) = primals, tangents
    return _outer(rows, columns), by_rows @ columns + rows @ by_columns


def _inverse_root(values: Float[Array, "_ _ _ _"]) -> Float[Array, "_ _ _ _"]:
    return jax.lax.rsqrt(jnp.maximum(values, 1e-9))
