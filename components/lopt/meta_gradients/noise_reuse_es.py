"""Noise-reuse evolution strategies: one perturbation for the whole of a trajectory.

Li, Sohl-Dickstein et al. 2023, "Variance-Reduced Gradient Estimation via Noise-Reuse in
Online Evolution Strategies", https://arxiv.org/abs/2304.12180.
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
from lopt.meta_gradients.base import Estimate, MetaGradient
from lopt.meta_gradients.places import Places
from lopt.meta_gradients.unrolling import Unrolling


class NoiseReuseESState(NamedTuple):
    """The pairs in work, and the key that each one's perturbation is drawn from."""

    places: Places
    noise_keys: Key[Array, " problems"]
    key: Key[Array, ""]


class NoiseReuseES(MetaGradient):
    """Antithetic pairs that keep their perturbation from one unroll to the next.

    Unbiased for the meta-loss smoothed with the standard deviation `deviation`, as
    evolution strategies on whole trajectories are, with an estimate after each unroll and,
    where unrolls agree on what is better, less variance than `PersistentES`.

    Raises `ValueError` if `deviation` is not positive.

    **Example**

    ```python
    estimator = NoiseReuseES(Unrolling(steps=20, problems=24), deviation=0.01)
    state = estimator.init(optimizer, group, jax.random.key(0))
    estimate = estimator.estimate(optimizer, group, state, meta_step=jnp.array(0))
    ```
    """

    unrolling: Unrolling = Unrolling()
    deviation: float = eqx.field(static=True, default=0.01)

    def __check_init__(self) -> None:
        check_deviation(self.deviation)

    @classmethod
    def examples(cls) -> Sequence["NoiseReuseES"]:
        return (cls(Unrolling(steps=3, problems=4)),)

    def init(
        self, optimizer: LearnedOptimizer, group: Group, key: Key[Array, ""]
    ) -> NoiseReuseESState:
        places = empty_pairs(self.unrolling, optimizer, group, key)
        return NoiseReuseESState(places, jax.random.split(key, self.unrolling.problems), key)

    def estimate(
        self,
        optimizer: LearnedOptimizer,
        group: Group,
        state: NoiseReuseESState,
        meta_step: Int[Array, ""],
    ) -> Estimate:
        renewal_key, noise_key, key = jax.random.split(state.key, 3)
        new = self.unrolling.renew(state.places, group, renewal_key, meta_step)
        fresh = jax.random.split(noise_key, self.unrolling.problems)
        noise_keys = jnp.where(new.finished, fresh, state.noise_keys)
        noise = perturbations_of(noise_keys, optimizer, self.deviation, meta_step)
        unrolled = unroll_pairs(self.unrolling, optimizer, noise, state.places, new)
        estimated = estimate_of_pairs(
            self.unrolling, state.places, new, unrolled, noise / self.deviation**2
        )
        return estimated._replace(state=NoiseReuseESState(estimated.state, noise_keys, key))
