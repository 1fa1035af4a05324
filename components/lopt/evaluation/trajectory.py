"""One training of one target's problem by one optax transformation, from init to end."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int32, Key, PyTree

from lopt.evaluation.measured_params import measured_params
from lopt.evaluation.target import Target
from lopt.problems.base import Params, Problem, loss_and_gradient


class Start(NamedTuple):
    """Where every optimizer begins at one seed."""

    drawn: Problem
    """The problem, but `None` for the leaves that are the target's own (its images, say)."""
    params: Params


class _Inner(NamedTuple):
    params: Params
    opt_state: optax.OptState


def begin(target: Target, key: Key[Array, ""]) -> Start:
    """Draw the problem and the initial params of one seed.

    Apart from `train`, because drawing random numbers takes as long to compile as a training
    and is the same for all optimizers. The target's own arrays are left out, so that many
    seeds together hold them once.

    **Example**

    ```python
    start = begin(target, jax.random.key(0))
    ```
    """
    draw_key, init_key, _, _ = jax.random.split(key, 4)
    problem = target.draw(draw_key)
    own = {id(leaf) for leaf in jax.tree.leaves(target)}
    drawn = eqx.filter(problem, lambda leaf: eqx.is_array(leaf) and id(leaf) not in own)
    return Start(drawn, problem.init(init_key))


def train(
    target: Target, start: Start, transformation: optax.GradientTransformation, key: Key[Array, ""]
) -> tuple[Float[Array, " records"], dict[str, Float[Array, ""]]]:
    """Train from `start`, which `begin` gave for the same key; return losses and metrics.

    The losses are noise-free and taken at the evaluation params, the first before any step.
    The same key gives every transformation the same minibatches and gradient noise.

    **Example**

    ```python
    losses, metrics = train(target, begin(target, key), optax.adam(1e-3), key)
    ```
    """
    draw_key, _, step_key, loss_key = jax.random.split(key, 4)
    problem = eqx.combine(start.drawn, target.draw(draw_key))

    def step(index: Int32[Array, ""], inner: _Inner) -> _Inner:
        batch_key = jax.random.fold_in(step_key, index)
        loss, gradient = loss_and_gradient(problem, inner.params, batch_key)
        valid = problem.valid()
        extra = {"value": loss} if valid is None else {"value": loss, "valid": valid}
        updates, opt_state = _update(transformation, gradient, inner, extra)
        return _Inner(optax.apply_updates(inner.params, updates), opt_state)

    # Bounds that are data, the first loop empty: the loss is compiled once, not twice.
    def record(inner: _Inner, until: Int32[Array, ""]) -> tuple[_Inner, Float[Array, ""]]:
        since = jnp.maximum(until - target.record_every, 0)
        inner = jax.lax.fori_loop(since, until, step, inner)
        return inner, problem.loss(_eval_params(inner), problem.full_batch(), loss_key)

    first = _Inner(start.params, transformation.init(start.params))
    records = jnp.arange(0, target.steps + 1, target.record_every, dtype=jnp.int32)
    last, losses = jax.lax.scan(record, first, records)
    return losses, target.metrics(problem, _eval_params(last))


def _update(
    transformation: optax.GradientTransformation,
    gradient: Params,
    inner: _Inner,
    extra: dict[str, PyTree[Array]],
) -> tuple[Params, optax.OptState]:
    takes_more = isinstance(transformation, optax.GradientTransformationExtraArgs)
    more = extra if takes_more else {}
    # optax.adam raises a float to an integer power, which strict promotion refuses; whoever
    # tests under it has to be able to evaluate what others wrote.
    with jax.numpy_dtype_promotion("standard"):
        return transformation.update(gradient, inner.opt_state, inner.params, **more)


def _eval_params(inner: _Inner) -> Params:
    return measured_params(inner.opt_state, inner.params)
