"""What the MLP of `AdafactorMLP` is shown of every scalar.

Features and epsilons are those of the published code of Metz et al. 2022, google's
learned_optimization, `adafac_mlp_lopt.py`; https://arxiv.org/abs/2203.11860.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

TIMESCALES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5)
"""In inner steps."""


class Scalars(NamedTuple):
    """What is known of every scalar, in float32."""

    gradient: Float[Array, "batch rows columns"]
    params: Float[Array, "batch rows columns"]
    momenta: tuple[Float[Array, "batch rows columns"], ...]
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
) -> list[Float[Array, "batch rows columns"]]:
    """Return the features that are each scalar's own: itself, its gradient and their averages.

    The factors are the inverse root mean squares that the factored averages make.

    **Example**

    ```python
    features = own_features(scalars, factor.product(), factor.product())
    ```
    """
    gradient, params, momenta, mean_square = scalars
    inverse_root = jax.lax.rsqrt(mean_square + 1e-6)
    for_gradient, for_momenta = jnp.unstack(gradient_factors), jnp.unstack(momentum_factors)
    return [
        gradient,
        params,
        *momenta,
        mean_square,
        *(momentum * inverse_root for momentum in momenta),
        inverse_root,
        *(gradient * factor for factor in for_gradient),
        *(momentum * factor for momentum, factor in zip(momenta, for_momenta, strict=True)),
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
