"""One training of one target's problem by one optax transformation, from init to end.

In parts, so that a long one can be kept in between: what `advance` returns for some records is
what it goes on from to later ones, and where it is divided changes no bit.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int32, Key, PyTree

from lopt.evaluation.measured_params import measured_params
from lopt.evaluation.target import Target
from lopt.evaluation.with_memory import (
    Memory,
    TargetWithMemory,
    WithMemory,
    loss_gradient_and_memory,
)
from lopt.problems.base import Batch, Params, Problem, loss_and_gradient


class Start(NamedTuple):
    """Where every optimizer begins at one seed."""

    drawn: Problem
    """The problem, but `None` for the leaves that are the target's own (its images, say)."""
    params: Params
    memory: Memory
    """`None` for problems without one."""


class Trained(NamedTuple):
    """What an inner step changes."""

    params: Params
    opt_state: optax.OptState
    memory: Memory


class Trajectory(NamedTuple):
    """A training between two recorded losses: all that it goes on from."""

    trained: Trained
    losses: Float[Array, " records"]
    """Zero where nothing is recorded yet."""


class Span(NamedTuple):
    """Some of the records of a target, counted from 0, of the loss before any step, on."""

    since: Int32[Array, ""]
    until: Int32[Array, ""]
    """The first record that is not among them."""


def begin(target: Target, key: Key[Array, ""]) -> Start:
    """Draw the problem and the initial params of one seed.

    Apart from the training, because drawing random numbers takes as long to compile as that
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
    memory = problem.init_memory() if isinstance(problem, WithMemory) else None
    return Start(drawn, problem.init(init_key), memory)


def untrained(
    target: Target, start: Start, transformation: optax.GradientTransformation
) -> Trajectory:
    """Return a trajectory before its first record.

    **Example**

    ```python
    trajectory = untrained(target, begin(target, key), optax.adam(1e-3))
    ```
    """
    trained = Trained(start.params, transformation.init(start.params), start.memory)
    return Trajectory(trained, jnp.zeros(records_of(target), jnp.float32))


def records_of(target: Target) -> int:
    """Return how many losses are recorded of a target, the one before any step included.

    **Example**

    ```python
    records_of(digits_mlp(data_set, steps=500, record_every=10))  # 51
    ```
    """
    return target.steps // target.record_every + 1


def advance(
    target: Target,
    start: Start,
    transformation: optax.GradientTransformation,
    key: Key[Array, ""],
    trajectory: Trajectory,
    span: Span,
    batch_of: Callable[[Int32[Array, ""]], Batch] = lambda _: None,
) -> Trajectory:
    """Train over some records from where the trajectory is, which has to be their beginning.

    The losses are noise-free and taken at the evaluation params. `start` is what `begin` gave
    for the same key. The same key gives every transformation the same minibatches and
    gradient noise. The span is data, so that one compiled program does for all of them.
    `batch_of` gives the minibatch of an inner step, where the problem does not draw it itself.

    **Example**

    ```python
    whole = Span(jnp.int32(0), jnp.int32(records_of(target)))
    losses = advance(target, start, adam, key, untrained(target, start, adam), whole).losses
    ```
    """
    draw_key, _, step_key, loss_key = jax.random.split(key, 4)
    problem = _problem(target, start, draw_key)

    def step(index: Int32[Array, ""], trained: Trained) -> Trained:
        key = jax.random.fold_in(step_key, index)
        return inner_step(problem, transformation, trained, key, batch_of(index))

    # Bounds that are data, the first loop empty: the loss is compiled once, not twice.
    def record(index: Int32[Array, ""], trajectory: Trajectory) -> Trajectory:
        until = index * target.record_every
        since = jnp.maximum(until - target.record_every, 0)
        trained = jax.lax.fori_loop(since, until, step, trajectory.trained)
        loss = _measured_loss(problem, trained, loss_key)
        return Trajectory(trained, trajectory.losses.at[index].set(loss))

    later: Trajectory = jax.lax.fori_loop(span.since, span.until, record, trajectory)
    return later


def measure(
    target: Target, start: Start, key: Key[Array, ""], trajectory: Trajectory
) -> dict[str, Float[Array, ""]]:
    """Return what the target measures on the params that the trajectory has.

    **Example**

    ```python
    measure(target, start, key, trajectory)["test_accuracy"]
    ```
    """
    problem = _problem(target, start, jax.random.split(key, 4)[0])
    trained = trajectory.trained
    params = _eval_params(trained)
    if isinstance(target, TargetWithMemory) and isinstance(problem, WithMemory):
        return target.metrics_with_memory(problem, params, trained.memory)
    return target.metrics(problem, params)


def _problem(target: Target, start: Start, draw_key: Key[Array, ""]) -> Problem:
    # Only the target's own leaves are taken of this draw, so that nothing is drawn twice.
    problem: Problem = eqx.combine(start.drawn, target.draw(draw_key))
    return problem


def inner_step(
    problem: Problem,
    transformation: optax.GradientTransformation,
    trained: Trained,
    key: Key[Array, ""],
    batch: Batch,
) -> Trained:
    """Take the gradient and update the params; without a `batch` the problem draws one.

    **Example**

    ```python
    trained = Trained(params, adam.init(params), memory=None)
    trained = inner_step(problem, adam, trained, key, problem.sample_batch(key))
    ```
    """
    if isinstance(problem, WithMemory):
        loss, gradient, memory = loss_gradient_and_memory(
            problem, trained.params, trained.memory, key, batch
        )
    else:
        memory = trained.memory
        loss, gradient = loss_and_gradient(problem, trained.params, key, batch)
    valid = problem.valid()
    extra = {"value": loss} if valid is None else {"value": loss, "valid": valid}
    updates, opt_state = _update(transformation, gradient, trained, extra)
    return Trained(optax.apply_updates(trained.params, updates), opt_state, memory)


def _measured_loss(problem: Problem, trained: Trained, key: Key[Array, ""]) -> Float[Array, ""]:
    params, batch = _eval_params(trained), problem.full_batch()
    if isinstance(problem, WithMemory):
        return problem.loss_with_memory(params, trained.memory, batch, key)
    return problem.loss(params, batch, key)


def _update(
    transformation: optax.GradientTransformation,
    gradient: Params,
    trained: Trained,
    extra: dict[str, PyTree[Array]],
) -> tuple[Params, optax.OptState]:
    takes_more = isinstance(transformation, optax.GradientTransformationExtraArgs)
    more = extra if takes_more else {}
    # optax.adam raises a float to an integer power, which strict promotion refuses; whoever
    # tests under it has to be able to evaluate what others wrote.
    with jax.numpy_dtype_promotion("standard"):
        return transformation.update(gradient, trained.opt_state, trained.params, **more)


def _eval_params(trained: Trained) -> Params:
    return measured_params(trained.opt_state, trained.params)
