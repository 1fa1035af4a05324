"""How the meta-gradients of single problems become one, whatever happened to some of them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lopt.meta_gradients.adding import sum_of_problems, sum_of_rows


class Combined(NamedTuple):
    """The mean over the problems that are sound, and which those are."""

    meta_loss: Float[Array, ""]
    gradient: Float[Array, " meta_params"]
    # The squared standard error of the gradient, summed over its entries; 0 for one problem.
    variance: Float[Array, ""]
    sound: Bool[Array, " problems"]
    clipped: Bool[Array, " problems"]


def combine(
    meta_losses: Float[Array, " problems"],
    gradients: Float[Array, "problems meta_params"],
    clip_norm: float,
) -> Combined:
    """Clip each problem's gradient to `clip_norm` and average over the sound ones.

    A problem is sound if its meta-loss and its gradient's norm are finite. The others change
    nothing: the result is that of the batch without them, zero if there are no others.
    Without a sound problem the meta-loss is NaN.

    **Example**

    ```python
    combined = combine(jnp.array([0.1, jnp.nan]), jnp.ones((2, 5)), clip_norm=1.0)
    ```
    """
    # Small problems are the last axis when they come here (`lopt.side_by_side`); so they stay.
    columns = gradients.T
    norms = jnp.sqrt(jnp.square(columns).sum(0))
    sound = jnp.isfinite(meta_losses) & jnp.isfinite(norms)
    scale = jnp.where(sound, shortening(norms, clip_norm), 0.0)
    count = sound.sum().astype(jnp.float32)
    gradient = _weighed(columns, scale, sound) / jnp.maximum(count, 1.0)
    return Combined(
        mean_of_sound(meta_losses, sound),
        gradient,
        standard_error_squared(jnp.where(sound, norms, 0.0) * scale, norm(gradient), count),
        sound,
        sound & (scale < 1),
    )


def _weighed(
    columns: Float[Array, "meta_params problems"],
    weights: Float[Array, " problems"],
    sound: Bool[Array, " problems"],
) -> Float[Array, " meta_params"]:
    """Multiply; what is not sound is of no weight, whatever it is."""

    # Zero times NaN is NaN, so what is not sound is replaced before it is multiplied.
    def of_some() -> Float[Array, " meta_params"]:
        return sum_of_problems(jnp.where(sound[None], columns, 0.0) * weights[None])

    # Nearly always all are sound, and a CPU need not go through them twice.
    if jax.default_backend() != "cpu":
        return of_some()
    weighed: Array = jax.lax.cond(
        sound.all(), lambda: sum_of_problems(columns * weights[None]), of_some
    )
    return weighed


def check_clip_norm(name: str, value: float) -> None:
    """Raise `ValueError` unless gradients can be clipped to this norm.

    **Example**

    ```python
    check_clip_norm("problem_clip_norm", 1.0)
    ```
    """
    if not value > 0:
        raise ValueError(f"{name} is {value}, but must be positive; inf for no clipping.")


def combine_along(
    meta_losses: Float[Array, " problems"],
    slopes: Float[Array, " problems"],
    directions: Float[Array, "problems meta_params"],
) -> Combined:
    """Average gradients that are each a number times a direction, over the sound problems.

    What `combine` does without clipping, but none of the problems' gradients is ever made. Sound
    is whose meta-loss is finite, and so small a gradient that the squares of all together are:
    the meta-optimizer sees squares, and one infinite would spoil it for good.

    **Example**

    ```python
    combined = combine_along(jnp.array([0.1, 0.2]), jnp.array([1.0, -2.0]), jnp.ones((2, 5)))
    ```
    """
    norms = jnp.abs(slopes) * jnp.sqrt(jnp.square(directions).sum(1))
    sound = jnp.isfinite(meta_losses) & jnp.isfinite(jnp.square(norms) * len(norms))
    kept = jnp.where(sound, slopes, 0.0)
    count = sound.sum().astype(jnp.float32)
    gradient = sum_of_rows(directions * kept[:, None]) / jnp.maximum(count, 1.0)
    return Combined(
        mean_of_sound(meta_losses, sound),
        gradient,
        standard_error_squared(jnp.where(sound, norms, 0.0), norm(gradient), count),
        sound,
        jnp.zeros_like(sound),
    )


def shortening(norms: Float[Array, " problems"], clip_norm: float) -> Float[Array, " problems"]:
    """Return what to multiply vectors of these norms with so that none is beyond `clip_norm`.

    **Example**

    ```python
    shortening(jnp.array([0.5, 4.0]), clip_norm=1.0)  # [1, 0.25]
    ```
    """
    return jnp.minimum(1.0, clip_norm / jnp.maximum(norms, 1e-12))


def mean_of_sound(
    values: Float[Array, " problems"], sound: Bool[Array, " problems"]
) -> Float[Array, ""]:
    """Return the mean over the sound problems, NaN if there are none.

    **Example**

    ```python
    mean_of_sound(jnp.array([1.0, jnp.nan]), jnp.array([True, False]))  # 1.0
    ```
    """
    return sum_of_problems(jnp.where(sound, values, 0.0)) / sound.sum().astype(jnp.float32)


def standard_error_squared(
    norms: Float[Array, " problems"], mean_norm: Float[Array, ""], count: Float[Array, ""]
) -> Float[Array, ""]:
    """Return the squared standard error of a mean of vectors, summed over their entries.

    `norms` are those of the `count` vectors, 0 for what is not counted.

    **Example**

    ```python
    standard_error_squared(jnp.array([1.0, 1.0]), jnp.array(0.0), jnp.array(2.0))  # 1.0
    ```
    """
    mean_square = sum_of_problems(jnp.square(norms)) / jnp.maximum(count, 1.0)
    spread = jnp.maximum(mean_square - jnp.square(mean_norm), 0.0)
    return spread / jnp.maximum(count - 1.0, 1.0)


def norm(vector: Float[Array, " meta_params"]) -> Float[Array, ""]:
    """Return the Euclidean norm.

    **Example**

    ```python
    norm(jnp.ones(4))  # 2.0
    ```
    """
    return jnp.sqrt(jnp.square(vector).sum())
