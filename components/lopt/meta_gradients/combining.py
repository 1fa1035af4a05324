"""How the meta-gradients of single problems become one, whatever happened to some of them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree


class Combined(NamedTuple):
    """The mean over the problems that are sound, and which those are."""

    meta_loss: Float[Array, ""]
    gradient: PyTree[Array]
    sound: Bool[Array, " problems"]
    clipped: Bool[Array, " problems"]


def combine(
    meta_losses: Float[Array, " problems"], gradients: PyTree[Array], clip_norm: float
) -> Combined:
    """Clip each problem's gradient to `clip_norm` and average over the sound ones.

    A problem is sound if its meta-loss and its gradient's norm are finite. The others change
    nothing: the result is that of the batch without them, zero if there are no others. The
    leaves of `gradients` have the problems as their first axis. Without a sound problem the
    meta-loss is NaN.

    **Example**

    ```python
    combined = combine(jnp.array([0.1, jnp.nan]), {"weights": jnp.ones((2, 5))}, clip_norm=1.0)
    ```
    """
    norms = jax.vmap(_norm)(gradients)
    sound = jnp.isfinite(meta_losses) & jnp.isfinite(norms)
    # Zero times NaN is NaN, so what is not sound is replaced before it is multiplied.
    scale = jnp.where(sound, jnp.minimum(1.0, clip_norm / jnp.maximum(norms, 1e-12)), 0.0)
    count = sound.sum().astype(jnp.float32)

    def mean(leaf: Float[Array, "problems *shape"]) -> Float[Array, " *shape"]:
        ones = (1,) * (leaf.ndim - 1)
        kept = jnp.where(sound.reshape(-1, *ones), leaf, 0.0)
        return (kept * scale.reshape(-1, *ones)).sum(0) / jnp.maximum(count, 1.0)

    meta_loss = jnp.where(sound, meta_losses, 0.0).sum() / count
    return Combined(meta_loss, jax.tree.map(mean, gradients), sound, sound & (scale < 1))


def _norm(tree: PyTree[Array]) -> Float[Array, ""]:
    squares = [jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree)]
    return jnp.sqrt(jnp.stack(squares).sum())
