"""Persistent evolution strategies: unbiased however short the unrolls.

Vicol, Metz and Sohl-Dickstein 2021, https://arxiv.org/abs/2112.13835; PAPER.md section 7.3.
"""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from lopt.architectures import LearnedOptimizer
from lopt.ensembles import Group
from lopt.meta_gradients.antithetic import (
    check_deviation,
    empty_pairs,
    estimate_of_pairs,
    perturbations,
    unroll_pairs,
)
from lopt.meta_gradients.base import Estimate, MetaGradient
from lopt.meta_gradients.places import Places
from lopt.meta_gradients.unrolling import Unrolling
from lopt.meta_gradients.vectors import number_of_meta_params


class PersistentESState(NamedTuple):
    """The pairs in work, and all that their meta-params were perturbed by since they began."""

    places: Places
    accumulated: Float[Array, "problems meta_params"]
    key: Key[Array, ""]


class PersistentES(MetaGradient):
    """Antithetic pairs with new perturbations at each unroll, credited with all the old ones.

    The meta-loss of an unroll depends on the perturbations of all unrolls since the trajectory
    began, so the difference within a pair is multiplied by their sum. That gives, without
    bias, the gradient of the meta-loss when each unroll has meta-params of its own, drawn
    around the same mean with standard deviation `deviation`; where unrolls share theirs, that
    is the gradient of the smoothed meta-loss. The variance grows with the trajectory's length.

    Raises `ValueError` if `deviation` is not positive.

    **Example**

    ```python
    estimator = PersistentES(Unrolling(steps=20, problems=24), deviation=0.01)
    state = estimator.init(optimizer, group, jax.random.key(0))
    estimate = estimator.estimate(optimizer, group, state, meta_step=jnp.array(0))
    ```
    """

    unrolling: Unrolling = Unrolling()
    deviation: float = eqx.field(static=True, default=0.01)

    def __check_init__(self) -> None:
        check_deviation(self.deviation)

    @classmethod
    def examples(cls) -> Sequence["PersistentES"]:
        return (cls(Unrolling(steps=3, problems=4)),)

    def init(
        self, optimizer: LearnedOptimizer, group: Group, key: Key[Array, ""]
    ) -> PersistentESState:
        places = empty_pairs(self.unrolling, optimizer, group, key)
        shape = (self.unrolling.problems, number_of_meta_params(optimizer))
        return PersistentESState(places, jnp.zeros(shape, jnp.float32), key)

    def estimate(
        self,
        optimizer: LearnedOptimizer,
        group: Group,
        state: PersistentESState,
        meta_step: Int[Array, ""],
    ) -> Estimate:
        renewal_key, noise_key, key = jax.random.split(state.key, 3)
        new = self.unrolling.renew(state.places, group, renewal_key, meta_step)
        problems = self.unrolling.problems
        noise = perturbations(noise_key, optimizer, problems, self.deviation, meta_step)
        unrolled = unroll_pairs(self.unrolling, optimizer, noise, state.places, new)
        accumulated = noise + jnp.where(new.finished[:, None], 0.0, state.accumulated)
        estimated = estimate_of_pairs(
            self.unrolling, state.places, new, unrolled, accumulated / self.deviation**2
        )
        return estimated._replace(state=PersistentESState(estimated.state, accumulated, key))
