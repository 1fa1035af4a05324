"""What one problem shows of itself before the first step of a trajectory."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from lopt.problems.base import Params, Problem, loss_and_gradient


def first_loss_and_norm(
    problem: Problem, key: Key[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Draw the problem and its first params; return the loss there and the gradient's norm.

    **Example**

    ```python
    loss, gradient_norm = first_loss_and_norm(problem, jax.random.key(0))
    ```
    """
    draw_key, params_key, loss_key, step_key = jax.random.split(key, 4)
    drawn = problem.draw(draw_key)
    params = drawn.init(params_key)
    loss = drawn.loss(params, drawn.full_batch(), loss_key)
    _, gradient = loss_and_gradient(drawn, params, step_key)
    return loss, _norm(gradient)


def is_real(problem: Problem) -> Bool[Array, " scalars"]:
    """Tell the scalars among the params, all in one vector, from padding.

    **Example**

    ```python
    assert is_real(Quadratic(dimensions=20, padded_to=100, key=key)).sum() == 20
    ```
    """
    params = jax.eval_shape(problem.init, jax.random.key(0))
    valid = problem.valid()
    if valid is None:
        valid = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, jnp.bool_), params)
    return jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(valid)])


def _norm(gradient: Params) -> Float[Array, ""]:
    """Return the norm over all tensors, also where the sum of squares would overflow."""
    leaves = jax.tree.leaves(gradient)
    largest = jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in leaves]))
    unit = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1.0)
    squares = [jnp.sum(jnp.square(leaf / unit)) for leaf in leaves]
    return unit * jnp.sqrt(jnp.sum(jnp.stack(squares)))
