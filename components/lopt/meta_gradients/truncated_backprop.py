"""Truncated backpropagation through unrolls, the paper's estimator.

Wichrowska et al. 2017, section 4; PAPER.md sections 4.2 to 4.4. Biased: what a step does
beyond the end of its unroll is not seen (Metz et al. 2019, https://arxiv.org/abs/1810.10180).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from lopt.architectures import LearnedOptimizer
from lopt.ensembles import Group
from lopt.meta_gradients.base import Estimate, MetaGradient
from lopt.meta_gradients.combining import combine
from lopt.meta_gradients.lengths import TrajectoryLengths
from lopt.meta_objectives import AverageLogLoss
from lopt.unroll import Trajectory, begin, unroll


class TruncatedBackpropState(NamedTuple):
    """The trajectories in work, stacked, and when each is to begin anew."""

    trajectories: Trajectory
    # Inner steps after which a trajectory begins anew, and how often it has begun.
    lengths: Int[Array, " problems"]
    begun: Int[Array, " problems"]
    key: Key[Array, ""]


class TruncatedBackprop(MetaGradient):
    """Backpropagation through `unroll_steps` inner steps of every trajectory at a time.

    `problems` trajectories of a group run side by side, each on an entry drawn by weight
    with random constants drawn anew, each of its own length. Gradients are taken problem by
    problem: each is clipped to the norm `problem_clip_norm`, and one that is not finite is
    left out. (The released code zeroes single elements instead and clips them to 1e4.)

    `second_derivatives=False` treats gradients of the problem as constants.

    **Example**

    ```python
    estimator = TruncatedBackprop(unroll_steps=20, problems=24)
    state = estimator.init(optimizer, group, jax.random.key(0))
    meta_loss, gradient, state, metrics = estimator.estimate(optimizer, group, state)
    ```
    """

    unroll_steps: int = eqx.field(static=True, default=20)
    problems: int = eqx.field(static=True, default=24)
    lengths: TrajectoryLengths = TrajectoryLengths()
    objective: AverageLogLoss = AverageLogLoss()
    problem_clip_norm: float = eqx.field(static=True, default=1.0)
    second_derivatives: bool = eqx.field(static=True, default=True)

    @classmethod
    def examples(cls) -> Sequence["TruncatedBackprop"]:
        return (
            cls(unroll_steps=3, problems=4),
            cls(unroll_steps=2, problems=3, second_derivatives=False),
        )

    def init(
        self, optimizer: LearnedOptimizer, group: Group, key: Key[Array, ""]
    ) -> TruncatedBackpropState:
        """Return places for trajectories, which begin at the first estimate.

        Beginning them here would compile the drawing of problems a second time.
        """
        shapes = eqx.filter_eval_shape(_begin_anew, optimizer, group, key)
        places = jax.tree.map(lambda leaf: _blank((self.problems, *leaf.shape), leaf.dtype), shapes)
        zeros = jnp.zeros((self.problems,), jnp.int32)
        return TruncatedBackpropState(places, zeros, zeros, key)

    def estimate(
        self, optimizer: LearnedOptimizer, group: Group, state: TruncatedBackpropState
    ) -> Estimate:
        begin_key, length_key, key = jax.random.split(state.key, 3)
        finished = state.trajectories.inner_step >= state.lengths
        drawn = self.unroll_steps * self._lengths(length_key, is_first=state.begun == 0)
        lengths = jnp.where(finished, drawn, state.lengths)
        meta_params, static = eqx.partition(optimizer, eqx.is_inexact_array)

        def one_problem(
            meta_params: LearnedOptimizer,
            trajectory: Trajectory,
            is_finished: Bool[Array, ""],
            key: Key[Array, ""],
        ) -> tuple[Float[Array, ""], Trajectory]:
            optimizer = eqx.combine(meta_params, static)
            # Inside, because the initial hidden states are meta-params.
            fresh = _begin_anew(optimizer, group, key)
            trajectory = jax.tree.map(
                lambda new, old: jnp.where(is_finished, new, old), fresh, trajectory
            )
            trajectory, losses = unroll(
                optimizer, trajectory, self.unroll_steps, self.second_derivatives
            )
            meta_loss = self.objective(losses, trajectory.initial_loss)
            return meta_loss, trajectory

        differentiated = jax.vmap(
            jax.value_and_grad(one_problem, has_aux=True), in_axes=(None, 0, 0, 0)
        )
        keys = jax.random.split(begin_key, self.problems)
        (meta_losses, trajectories), gradients = differentiated(
            meta_params, state.trajectories, finished, keys
        )
        combined = combine(meta_losses, gradients, self.problem_clip_norm)
        counts = {
            "meta/nonfinite": ~combined.sound,
            "meta/clipped": combined.clipped,
            "inner/resets": finished,
        }
        metrics = {name: which.sum().astype(jnp.float32) for name, which in counts.items()}
        # What went wrong begins anew at the next estimate.
        lengths = jnp.where(combined.sound, lengths, 0)
        begun = state.begun + finished.astype(jnp.int32)
        new_state = TruncatedBackpropState(trajectories, lengths, begun, key)
        return Estimate(combined.meta_loss, combined.gradient, new_state, metrics)

    def _lengths(
        self, key: Key[Array, ""], is_first: Bool[Array, " problems"]
    ) -> Int[Array, " problems"]:
        """Draw lengths in unrolls; of the first only a part, so that ends are staggered."""
        length_key, part_key = jax.random.split(key)
        lengths = self.lengths.draw(length_key, (self.problems,))
        part = jax.random.uniform(part_key, (self.problems,), jnp.float32)
        shortened = jnp.ceil(part * lengths.astype(jnp.float32)).astype(jnp.int32)
        return jnp.where(is_first, shortened, lengths)


def _blank(shape: tuple[int, ...], dtype: Any) -> Array:
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return jnp.broadcast_to(jax.random.key(0), shape)
    return jnp.zeros(shape, dtype)


def _begin_anew(optimizer: LearnedOptimizer, group: Group, key: Key[Array, ""]) -> Trajectory:
    entry_key, draw_key, begin_key = jax.random.split(key, 3)
    entry = jax.random.categorical(entry_key, jnp.log(group.weights))
    return begin(group.entry(entry).draw(draw_key), optimizer, begin_key)
