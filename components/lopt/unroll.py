"""One trajectory: the training of one problem's params by one optimizer.

Everything here is written for a single trajectory; estimators `vmap` it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, PyTree

from lopt.architectures import LearnedOptimizer, RandomLearningRate, eval_params
from lopt.problems import Problem, loss_and_gradient
from lopt.problems.base import Params
from lopt.steady_weights import scan_with_weights
from lopt.written_once import cotangent_computed_once


class Beginning(NamedTuple):
    """What a trajectory has before there is an optimizer."""

    problem: Problem
    key: Key[Array, ""]
    rates_key: Key[Array, ""]
    initial_loss: Float[Array, ""]
    params: Params


class Trajectory(NamedTuple):
    """How far an inner training has come; a pytree, so many can be stacked."""

    # Fixed when the trajectory begins.
    problem: Problem
    key: Key[Array, ""]
    initial_loss: Float[Array, ""]
    # Change at every inner step.
    params: Params
    opt_state: optax.OptState
    inner_step: Int[Array, ""]


Remember = Callable[[Trajectory], PyTree[Array]]


def beginning(problem: Problem, key: Key[Array, ""]) -> Beginning:
    """Draw the initial params; what comes of `key` does not depend on an optimizer.

    **Example**

    ```python
    start = beginning(problem, jax.random.key(0))
    ```
    """
    params_key, rates_key, loss_key, steps_key = jax.random.split(key, 4)
    params = problem.init(params_key)
    initial_loss = problem.loss(params, problem.full_batch(), loss_key)
    return Beginning(problem, steps_key, rates_key, initial_loss, params)


def before_first_step(start: Beginning, optimizer: LearnedOptimizer) -> Trajectory:
    """Stand before the first inner step, with the learning rates that `start` has drawn.

    **Example**

    ```python
    trajectory = before_first_step(beginning(problem, jax.random.key(0)), optimizer)
    ```
    """
    opt_state = optimizer.transformation(RandomLearningRate(start.rates_key)).init(start.params)
    zero = jnp.zeros((), jnp.int32)
    return Trajectory(start.problem, start.key, start.initial_loss, start.params, opt_state, zero)


def begin(problem: Problem, optimizer: LearnedOptimizer, key: Key[Array, ""]) -> Trajectory:
    """Draw initial params and learning rates, and stand before the first inner step.

    **Example**

    ```python
    trajectory = begin(problem, optimizer, jax.random.key(0))
    ```
    """
    return before_first_step(beginning(problem, key), optimizer)


def inner_step(
    optimizer: LearnedOptimizer,
    trajectory: Trajectory,
    second_derivatives: bool = True,
    *,
    forward_mode: bool = False,
) -> Trajectory:
    """Move one trajectory on by one inner step.

    Without `second_derivatives` the gradient is a constant to whoever differentiates the
    step (Andrychowicz et al. 2016); with them nothing is left out (PAPER.md section 4.4).
    In `forward_mode` it can be differentiated only so, without it only backwards.

    **Example**

    ```python
    trajectory = inner_step(optimizer, trajectory)
    ```
    """
    gradient = shown_gradient(trajectory)
    if not second_derivatives:
        gradient = jax.lax.stop_gradient(gradient)
    elif not forward_mode:
        # The cotangent of every param is made of those of all of these.
        gradient = jax.tree.map(cotangent_computed_once, gradient)
    updates, opt_state = optimizer.transformation().update(
        gradient, trajectory.opt_state, trajectory.params, valid=trajectory.problem.valid()
    )
    return trajectory._replace(
        params=optax.apply_updates(trajectory.params, updates),
        opt_state=opt_state,
        inner_step=trajectory.inner_step + 1,
    )


def shown_gradient(trajectory: Trajectory) -> Params:
    """Return the gradient that an optimizer is shown at this step: of a minibatch, with noise.

    **Example**

    ```python
    gradient = shown_gradient(trajectory)
    ```
    """
    step_key = jax.random.fold_in(trajectory.key, 2 * trajectory.inner_step)
    _, gradient = loss_and_gradient(trajectory.problem, trajectory.params, step_key)
    return gradient


def current_loss(trajectory: Trajectory, batch: Any = None) -> Float[Array, ""]:
    """Return the noise-free loss at the evaluation params, over all data if no batch is given.

    **Example**

    ```python
    current_loss(trajectory) / trajectory.initial_loss
    ```
    """
    problem = trajectory.problem
    key = jax.random.fold_in(trajectory.key, 2 * trajectory.inner_step + 1)
    params = eval_params(trajectory.opt_state, trajectory.params)
    return problem.loss(params, problem.full_batch() if batch is None else batch, key)


def unroll(
    optimizer: LearnedOptimizer,
    trajectory: Trajectory,
    inner_steps: int,
    second_derivatives: bool = True,
    *,
    remember: Remember = current_loss,
    rematerialise: bool = False,
    forward_mode: bool = False,
) -> tuple[Trajectory, Any]:
    """Take a fixed number of inner steps; return the trajectory and the loss after each.

    `remember` says what to return of each step instead, stacked. With `rematerialise`,
    whoever differentiates keeps only what goes from step to step and computes the rest
    again, which takes less memory and more time. In `forward_mode` it can be differentiated
    only so, where nothing is kept.

    **Example**

    ```python
    trajectory, losses = unroll(optimizer, trajectory, inner_steps=20)
    ```
    """
    arrays, rest = eqx.partition(optimizer, eqx.is_inexact_array)

    # What is fixed stays out of the loop's carry: differentiating would keep a copy a step.
    def step(
        arrays: PyTree[Array], carry: tuple[Params, optax.OptState, Int[Array, ""]]
    ) -> tuple[tuple[Params, optax.OptState, Int[Array, ""]], Any]:
        params, opt_state, count = carry
        before = trajectory._replace(params=params, opt_state=opt_state, inner_step=count)
        after = inner_step(
            eqx.combine(arrays, rest), before, second_derivatives, forward_mode=forward_mode
        )
        return (after.params, after.opt_state, after.inner_step), remember(after)

    carry = (trajectory.params, trajectory.opt_state, trajectory.inner_step)
    if forward_mode:
        carry, remembered = jax.lax.scan(lambda c, _: step(arrays, c), carry, length=inner_steps)
    elif rematerialise:
        # Nothing can be computed twice by mistake inside a loop, which is what it would prevent.
        body = jax.checkpoint(partial(step, arrays), prevent_cse=False)
        carry, remembered = jax.lax.scan(lambda carry, _: body(carry), carry, length=inner_steps)
    else:
        carry, remembered = scan_with_weights(step, arrays, carry, inner_steps)
    params, opt_state, count = carry
    return trajectory._replace(params=params, opt_state=opt_state, inner_step=count), remembered
