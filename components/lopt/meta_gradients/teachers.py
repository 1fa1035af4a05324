"""Trajectories that a teacher drives, and how far a learned optimizer is from it on them.

Chen et al. 2020, "Training Stronger Baselines for Learning to Optimize",
https://arxiv.org/abs/2010.09089; PAPER.md section 7.2.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from lopt.architectures import InitialLearningRate, LearnedAdam, LearnedOptimizer
from lopt.architectures.learning_rates import DEFAULT_LEARNING_RATE
from lopt.meta_objectives import MetaObjective, Scored
from lopt.unroll import Trajectory, current_loss

# Each works scalar by scalar, so that padding gets no update and changes none.
TEACHERS: Mapping[str, Callable[[float], optax.GradientTransformation]] = {
    "adam": optax.adam,
    "momentum": partial(optax.sgd, momentum=0.9),
    "rmsprop": partial(optax.rmsprop, decay=0.9),
    "sgd": optax.sgd,
}

STANDSTILL = 1e-30
"""A teacher's update whose squared length is less than this is none."""


class TaughtState(NamedTuple):
    """What the student and the teacher remember, and how far apart their last updates were."""

    student: optax.OptState
    teacher: optax.OptState
    distance: Float[Array, ""]


class Taught(LearnedOptimizer):
    """A learned optimizer that proposes updates where a teacher makes them.

    `update` returns the teacher's updates. The student is shown the same gradients and the
    params that the teacher's updates lead to, remembers what it would, and what it proposes
    is compared with what the teacher did: `relative_distance`, which the state holds. Its
    meta-params are the student's; nothing of the trajectory depends on them.

    **Example**

    ```python
    taught = Taught(optimizer, teacher="adam", learning_rate=0.01)
    trajectory = begin(problem, taught, jax.random.key(0))
    trajectory, distances = unroll(taught, trajectory, 20, remember=LikeTheTeacher().remember)
    ```
    """

    student: LearnedOptimizer
    teacher: str = eqx.field(static=True)
    learning_rate: float = eqx.field(static=True)

    @classmethod
    def examples(cls) -> Sequence["Taught"]:
        student = LearnedAdam.release(key=jax.random.key(0))
        return tuple(cls(student, name, 0.01) for name in TEACHERS)

    def transformation(
        self, initial_learning_rate: InitialLearningRate = DEFAULT_LEARNING_RATE
    ) -> optax.GradientTransformationExtraArgs:
        student = self.student.transformation(initial_learning_rate)
        teacher = TEACHERS[self.teacher](self.learning_rate)

        def init(params: optax.Params) -> TaughtState:
            zero = jnp.zeros((), jnp.float32)
            return TaughtState(student.init(params), teacher.init(params), zero)

        def update(
            updates: optax.Updates,
            state: Any,
            params: optax.Params | None = None,
            *,
            valid: PyTree[Array] | None = None,
            **extra_args: Any,
        ) -> tuple[optax.Updates, TaughtState]:
            # Constants to whoever differentiates, who would look for what depends on them.
            updates, params = jax.lax.stop_gradient((updates, params))
            proposed, student_state = student.update(
                updates, state.student, params, valid=valid, **extra_args
            )
            # optax adds floats and whole numbers, which a program may have forbidden.
            with jax.numpy_dtype_promotion("standard"):
                made, teacher_state = teacher.update(updates, state.teacher, params)
            distance = relative_distance(proposed, made, valid)
            return made, TaughtState(student_state, teacher_state, distance)

        return optax.GradientTransformationExtraArgs(init, update)


class LikeTheTeacher(MetaObjective):
    """The mean over the steps of a `Taught` optimizer's relative distance from its teacher.

    **Example**

    ```python
    imitation_loss, last_loss = LikeTheTeacher().score(distances, trajectory)
    ```
    """

    def remember(self, trajectory: Trajectory) -> Float[Array, ""]:
        state: Any = trajectory.opt_state
        distance: Float[Array, ""] = state.distance
        return distance

    def score(self, remembered: Float[Array, " inner_steps"], trajectory: Trajectory) -> Scored:
        # Without the state: the params are the teacher's, whatever offset the student has.
        loss = current_loss(trajectory._replace(opt_state=()))
        return Scored(jnp.where(jnp.isfinite(loss), remembered.mean(), jnp.nan), loss)


def relative_distance(
    proposed: optax.Updates, made: optax.Updates, valid: PyTree[Array] | None = None
) -> Float[Array, ""]:
    """Return log(1 + d), d being the squared distance of two updates in units of `made`'s square.

    The same in whatever unit the params are: 0 for equal updates and log(2) for none at all.
    The logarithm, because learned optimizers propose steps of any size before they know
    better, and one that is a million times too long would be all that a mean consists of.
    Padding does not count. Where `made` is none, there is nothing to imitate: 0, with a
    derivative of 0.

    **Example**

    ```python
    relative_distance(jnp.array([1.0, 0.0]), jnp.array([0.0, 2.0]))  # log(1 + (1 + 4) / 4)
    ```
    """
    difference = jax.tree.map(lambda one, other: one - other, proposed, made)
    length = _square(made, valid)
    # NaN is no less than anything, and stays.
    is_none = length < STANDSTILL
    squares = _square(difference, valid) / jnp.where(is_none, 1.0, length)
    return jnp.where(is_none, 0.0, jnp.log1p(squares))


def _square(updates: optax.Updates, valid: PyTree[Array] | None) -> Float[Array, ""]:
    if valid is not None:
        updates = jax.tree.map(
            lambda leaf, is_real: jnp.where(is_real, leaf, jnp.zeros_like(leaf)), updates, valid
        )
    squares = [jnp.square(leaf.astype(jnp.float32)).sum() for leaf in jax.tree.leaves(updates)]
    return jnp.stack(squares).sum()
