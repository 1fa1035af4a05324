"""One training of one target's problem by one optax transformation, from init to end."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int32, Key

from lopt.architectures.base import eval_params
from lopt.evaluation.target import Target
from lopt.problems.base import Params, Problem, loss_and_gradient


class _Inner(NamedTuple):
    params: Params
    opt_state: optax.OptState


def trajectory(
    target: Target, transformation: optax.GradientTransformation, key: Key[Array, ""]
) -> tuple[Float[Array, " records"], dict[str, Float[Array, ""]]]:
    """Train the problem that `key` draws; return the recorded losses and the final metrics.

    The losses are noise-free and taken at the evaluation params, the first before any step.
    Everything random comes from `key`, so the same key gives every transformation the same
    problem, the same initial params and the same minibatches.

    **Example**

    ```python
    losses, metrics = trajectory(target, optax.adam(1e-3), jax.random.key(0))
    ```
    """
    draw_key, init_key, step_key, loss_key = jax.random.split(key, 4)
    problem = target.draw(draw_key)
    update = optax.with_extra_args_support(transformation).update

    def step(inner: _Inner, index: Int32[Array, ""]) -> tuple[_Inner, None]:
        batch_key = jax.random.fold_in(step_key, index)
        loss, gradient = loss_and_gradient(problem, inner.params, batch_key)
        updates, opt_state = update(gradient, inner.opt_state, inner.params, value=loss)
        return _Inner(optax.apply_updates(inner.params, updates), opt_state), None

    def measure(inner: _Inner) -> Float[Array, ""]:
        return problem.loss(_eval_params(inner), problem.full_batch(), loss_key)

    def record(
        inner: _Inner, indices: Int32[Array, " record_every"]
    ) -> tuple[_Inner, Float[Array, ""]]:
        inner, _ = jax.lax.scan(step, inner, indices)
        return inner, measure(inner)

    start = _start(problem, transformation, init_key)
    indices = jnp.arange(target.steps, dtype=jnp.int32).reshape(-1, target.record_every)
    end, losses = jax.lax.scan(record, start, indices)
    losses = jnp.concatenate([measure(start)[None], losses])
    return losses, target.metrics(problem, _eval_params(end))


def _start(
    problem: Problem, transformation: optax.GradientTransformation, key: Key[Array, ""]
) -> _Inner:
    params = problem.init(key)
    return _Inner(params, transformation.init(params))


def _eval_params(inner: _Inner) -> Params:
    return eval_params(inner.opt_state, inner.params)
