"""Truncated backpropagation through unrolls, the paper's estimator.

Wichrowska et al. 2017, section 4; PAPER.md sections 4.2 to 4.4. Biased: what a step does
beyond the end of its unroll is not seen (Metz et al. 2019, https://arxiv.org/abs/1810.10180).
"""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from lopt.architectures import LearnedOptimizer
from lopt.ensembles import Group
from lopt.meta_gradients.base import Estimate, MetaGradient
from lopt.meta_gradients.combining import check_clip_norm, combine
from lopt.meta_gradients.forward_mode import gradient, is_better_forward
from lopt.meta_gradients.places import (
    Places,
    counts,
    draw_beginning,
    empty_places,
    faults_of,
    moved_on,
    where,
)
from lopt.meta_gradients.unrolling import Unrolled, Unrolling
from lopt.meta_gradients.vectors import MetaParams, vectors
from lopt.side_by_side import for_each_problem
from lopt.unroll import Beginning, Trajectory, before_first_step


class TruncatedBackpropState(NamedTuple):
    """The trajectories in work and the key of what is drawn next."""

    places: Places
    key: Key[Array, ""]


class TruncatedBackprop(MetaGradient):
    """Backpropagation through one unroll of every trajectory at a time.

    Gradients are taken problem by problem: each is clipped to the norm `problem_clip_norm`,
    and one that is not finite is left out. (The released code zeroes single elements instead
    and clips them to 1e4.)

    Where meta-params are few and problems small the same gradients are carried forwards, which
    takes less time.

    `second_derivatives=False` treats gradients of the problem as constants.

    Raises `ValueError` if `problem_clip_norm` is not positive.

    **Example**

    ```python
    estimator = TruncatedBackprop(Unrolling(steps=20, problems=24))
    state = estimator.init(optimizer, group, jax.random.key(0))
    estimate = estimator.estimate(optimizer, group, state, meta_step=jnp.array(0))
    ```
    """

    unrolling: Unrolling = Unrolling()
    problem_clip_norm: float = eqx.field(static=True, default=1.0)
    second_derivatives: bool = eqx.field(static=True, default=True)

    def __check_init__(self) -> None:
        check_clip_norm("problem_clip_norm", self.problem_clip_norm)

    @classmethod
    def examples(cls) -> Sequence["TruncatedBackprop"]:
        return (
            cls(Unrolling(steps=3, problems=4)),
            cls(Unrolling(steps=2, problems=3, rematerialise=True), second_derivatives=False),
        )

    def init(
        self, optimizer: LearnedOptimizer, group: Group, key: Key[Array, ""]
    ) -> TruncatedBackpropState:
        def one(key: Key[Array, ""]) -> Trajectory:
            return before_first_step(draw_beginning(group, key)[1], optimizer)

        shapes = jax.eval_shape(one, key)
        return TruncatedBackpropState(empty_places(shapes, self.unrolling.problems), key)

    def estimate(
        self,
        optimizer: LearnedOptimizer,
        group: Group,
        state: TruncatedBackpropState,
        meta_step: Int[Array, ""],
    ) -> Estimate:
        renewal_key, key = jax.random.split(state.key)
        new = self.unrolling.renew(state.places, group, renewal_key, meta_step)
        meta_params, optimizer_of = vectors(optimizer)
        forward = is_better_forward(meta_params, new.starts.params)

        def one_problem(
            meta_params: MetaParams,
            trajectory: Trajectory,
            start: Beginning,
            is_finished: Bool[Array, ""],
        ) -> tuple[Float[Array, ""], Unrolled]:
            optimizer = optimizer_of(meta_params)
            # Inside, because the initial hidden states are meta-params.
            trajectory = where(is_finished, before_first_step(start, optimizer), trajectory)
            unrolled = self.unrolling.unroll(
                optimizer, trajectory, self.second_derivatives, forward_mode=forward
            )
            return unrolled.meta_loss, unrolled

        differentiated = for_each_problem(
            gradient(one_problem, forward=forward), new.starts.params, (None, 0, 0, 0)
        )
        gradients, unrolled = differentiated(
            meta_params, state.places.trajectories, new.starts, new.finished
        )
        combined = combine(unrolled.meta_loss, gradients, self.problem_clip_norm)
        trajectories = unrolled.trajectory
        exploded = self.unrolling.exploded(unrolled.last_loss, trajectories.initial_loss)
        metrics = counts(
            {
                "meta/nonfinite": ~combined.sound,
                "meta/clipped": combined.clipped,
                "inner/exploded": combined.sound & exploded,
                "inner/resets": new.finished,
            }
        )
        steps = jnp.asarray(self.unrolling.problems * self.unrolling.steps, jnp.float32)
        places = moved_on(state.places, new, trajectories, ~combined.sound | exploded)
        return Estimate(
            meta_loss=combined.meta_loss,
            gradient=combined.gradient,
            state=TruncatedBackpropState(places, key),
            metrics=metrics | {"inner/steps": steps},
            variance=combined.variance,
            faults=faults_of(
                combined.sound, new.entries, trajectories.inner_step, unrolled.remembered
            ),
        )
