"""One trajectory: the training of one problem's params by one optimizer.

Everything here is written for a single trajectory; estimators `vmap` it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from lopt.architectures import LearnedOptimizer, RandomLearningRate, eval_params
from lopt.problems import Problem, loss_and_gradient
from lopt.problems.base import Params


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


def begin(problem: Problem, optimizer: LearnedOptimizer, key: Key[Array, ""]) -> Trajectory:
    """Draw initial params and learning rates, and stand before the first inner step.

    **Example**

    ```python
    trajectory = begin(problem, optimizer, jax.random.key(0))
    ```
    """
    params_key, rates_key, loss_key, steps_key = jax.random.split(key, 4)
    params = problem.init(params_key)
    opt_state = optimizer.transformation(RandomLearningRate(rates_key)).init(params)
    initial_loss = problem.loss(params, problem.full_batch(), loss_key)
    zero = jnp.zeros((), jnp.int32)
    return Trajectory(problem, steps_key, initial_loss, params, opt_state, zero)


def inner_step(
    optimizer: LearnedOptimizer, trajectory: Trajectory, second_derivatives: bool = True
) -> Trajectory:
    """Move one trajectory on by one inner step.

    Without `second_derivatives` the gradient is a constant to whoever differentiates the
    step (Andrychowicz et al. 2016); with them nothing is left out (PAPER.md section 4.4).

    **Example**

    ```python
    trajectory = inner_step(optimizer, trajectory)
    ```
    """
    step_key = jax.random.fold_in(trajectory.key, 2 * trajectory.inner_step)
    _, gradient = loss_and_gradient(trajectory.problem, trajectory.params, step_key)
    if not second_derivatives:
        gradient = jax.lax.stop_gradient(gradient)
    updates, opt_state = optimizer.transformation().update(
        gradient, trajectory.opt_state, trajectory.params, valid=trajectory.problem.valid()
    )
    return trajectory._replace(
        params=optax.apply_updates(trajectory.params, updates),
        opt_state=opt_state,
        inner_step=trajectory.inner_step + 1,
    )


def current_loss(trajectory: Trajectory) -> Float[Array, ""]:
    """Return the noise-free loss over all data at the evaluation params.

    **Example**

    ```python
    current_loss(trajectory) / trajectory.initial_loss
    ```
    """
    problem = trajectory.problem
    key = jax.random.fold_in(trajectory.key, 2 * trajectory.inner_step + 1)
    params = eval_params(trajectory.opt_state, trajectory.params)
    return problem.loss(params, problem.full_batch(), key)


def unroll(
    optimizer: LearnedOptimizer,
    trajectory: Trajectory,
    inner_steps: int,
    second_derivatives: bool = True,
) -> tuple[Trajectory, Float[Array, " inner_steps"]]:
    """Take a fixed number of inner steps; return the trajectory and the loss after each.

    **Example**

    ```python
    trajectory, losses = unroll(optimizer, trajectory, inner_steps=20)
    ```
    """

    # What is fixed stays out of the loop's carry: differentiating would keep a copy a step.
    def step(
        carry: tuple[Params, optax.OptState, Int[Array, ""]], _: None
    ) -> tuple[tuple[Params, optax.OptState, Int[Array, ""]], Float[Array, ""]]:
        params, opt_state, count = carry
        before = trajectory._replace(params=params, opt_state=opt_state, inner_step=count)
        after = inner_step(optimizer, before, second_derivatives)
        return (after.params, after.opt_state, after.inner_step), current_loss(after)

    carry = (trajectory.params, trajectory.opt_state, trajectory.inner_step)
    carry, losses = jax.lax.scan(step, carry, None, length=inner_steps)
    params, opt_state, count = carry
    return trajectory._replace(params=params, opt_state=opt_state, inner_step=count), losses
