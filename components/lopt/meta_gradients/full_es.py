"""Antithetic evolution strategies on whole trajectories.

Rechenberg 1973; for learned optimizers Metz et al. 2019, https://arxiv.org/abs/1810.10180,
and VeLO, https://arxiv.org/abs/2211.09760 (PAPER.md section 7.2).
"""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from lopt.architectures import LearnedOptimizer
from lopt.ensembles import Group
from lopt.meta_gradients.antithetic import (
    check_deviation,
    empty_pairs,
    estimate_of_pairs,
    perturbations_of,
    unroll_pairs,
)
from lopt.meta_gradients.base import Estimate, Faults, MetaGradient
from lopt.meta_gradients.lengths import LogUniformLengths
from lopt.meta_gradients.places import Renewal, draw_beginning, faults_of
from lopt.meta_gradients.unrolling import Unrolled, Unrolling
from lopt.tracing import traced_once


class FullESState(NamedTuple):
    """Nothing is in work between two estimates.

    The numbers of the problems are there to be divided among devices, and with them the work.
    """

    numbers: Int[Array, " problems"]
    key: Key[Array, ""]


class FullES(MetaGradient):
    """Pairs of trajectories from beginning to end at each estimate, with opposite perturbations.

    Unbiased for the meta-loss smoothed with the standard deviation `deviation`. All problems
    of an estimate have one length, drawn anew each time, so that none waits for another. The
    meta-loss is the mean over the unrolls that a trajectory is made of.

    Raises `ValueError` if `deviation` is not positive.

    **Example**

    ```python
    estimator = FullES(Unrolling(steps=20, problems=24), deviation=0.01)
    state = estimator.init(optimizer, group, jax.random.key(0))
    estimate = estimator.estimate(optimizer, group, state, meta_step=jnp.array(0))
    ```
    """

    unrolling: Unrolling = Unrolling()
    deviation: float = eqx.field(static=True, default=0.01)

    def __check_init__(self) -> None:
        check_deviation(self.deviation)

    @classmethod
    def examples(cls) -> Sequence["FullES"]:
        return (cls(Unrolling(steps=3, problems=4, lengths=LogUniformLengths(1, 4))),)

    def init(self, optimizer: LearnedOptimizer, group: Group, key: Key[Array, ""]) -> FullESState:
        del optimizer, group
        return FullESState(jnp.arange(self.unrolling.problems, dtype=jnp.int32), key)

    def estimate(
        self,
        optimizer: LearnedOptimizer,
        group: Group,
        state: FullESState,
        meta_step: Int[Array, ""],
    ) -> Estimate:
        problems = self.unrolling.problems
        length_key, begin_key, noise_key, key = jax.random.split(state.key, 4)
        unrolls = self.unrolling.lengths.draw(length_key, (), meta_step)
        begin_keys = _keys_of(state.numbers, begin_key)
        entries, starts = jax.vmap(lambda key: draw_beginning(group, key))(begin_keys)
        noise_keys = _keys_of(state.numbers, noise_key)
        noise = perturbations_of(noise_keys, optimizer, self.deviation, meta_step)
        empty = empty_pairs(self.unrolling, optimizer, group, key)
        lengths = jnp.broadcast_to(unrolls * self.unrolling.steps, (problems,))
        new = Renewal(jnp.ones((problems,), bool), starts, entries, lengths)

        def unroll(number: Int[Array, ""], so_far: _SoFar) -> _SoFar:
            now = new._replace(finished=jnp.broadcast_to(number == 0, (problems,)))
            places = empty._replace(trajectories=so_far.unrolled.trajectory)
            return so_far.with_next(unroll_once((places, now)))

        unroll_once, form = traced_once(
            lambda given: unroll_pairs(self.unrolling, optimizer, noise, *given), (empty, new)
        )
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), form[1:])
        nothing = Unrolled(empty.trajectories, *zeros)
        so_far = _SoFar(nothing, jnp.zeros((problems,), jnp.int32))
        so_far = jax.lax.fori_loop(0, unrolls, unroll, so_far)
        count = unrolls.astype(jnp.float32)
        whole = so_far.unrolled._replace(meta_loss=so_far.unrolled.meta_loss / count)
        estimated = estimate_of_pairs(self.unrolling, empty, new, whole, noise / self.deviation**2)
        taken = estimated.metrics["inner/steps"] * count
        return estimated._replace(
            state=FullESState(state.numbers, key),
            metrics=dict(estimated.metrics) | {"inner/steps": taken},
            faults=so_far.named(estimated.faults),
        )


def _keys_of(numbers: Int[Array, " problems"], key: Key[Array, ""]) -> Key[Array, " problems"]:
    keys: Key[Array, " problems"] = jax.vmap(lambda number: jax.random.fold_in(key, number))(
        numbers
    )
    return keys


class _SoFar(NamedTuple):
    """The pairs after some unrolls, the sum of the meta-losses, and when something went wrong."""

    unrolled: Unrolled
    bad_at: Int[Array, " problems"]

    def with_next(self, unrolled: Unrolled) -> "_SoFar":
        losses = unrolled.remembered.sum(1)
        is_bad = ~jnp.isfinite(losses).all(1)
        steps = unrolled.trajectory.inner_step
        entries = jnp.zeros_like(self.bad_at)
        now = jnp.where(is_bad, faults_of(~is_bad, entries, steps, losses).inner_steps, 0)
        total = self.unrolled.meta_loss + unrolled.meta_loss
        bad_at = jnp.where(self.bad_at == 0, now, self.bad_at)
        return _SoFar(unrolled._replace(meta_loss=total), bad_at)

    def named(self, faults: Faults) -> Faults:
        steps = jnp.where(self.bad_at == 0, faults.inner_steps, self.bad_at)
        return faults._replace(inner_steps=steps)
