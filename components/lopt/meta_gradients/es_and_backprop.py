"""Evolution strategies and backpropagation, mixed by how sure each is.

Metz, Maheswaranathan, Nixon, Freeman and Sohl-Dickstein 2019, "Understanding and correcting
pathologies in the training of learned optimizers", https://arxiv.org/abs/1810.10180.
"""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from lopt.architectures import LearnedOptimizer
from lopt.ensembles import Group
from lopt.meta_gradients.adding import sum_of_rows
from lopt.meta_gradients.antithetic import (
    both_ways,
    check_deviation,
    empty_pairs,
    estimate_of_pairs,
    perturbations,
    unroll_pair,
)
from lopt.meta_gradients.base import Estimate, MetaGradient
from lopt.meta_gradients.combining import check_clip_norm, shortening
from lopt.meta_gradients.places import Places, counts
from lopt.meta_gradients.unrolling import Unrolled, Unrolling
from lopt.meta_gradients.vectors import vectors
from lopt.unroll import Beginning, Trajectory

# Gradients this many times as long as what they are clipped to say nothing of the smoothed
# meta-loss: along the noise they have the sign of its difference half of the time (LOG.md).
BEYOND_USE = 10.0


class ESAndBackpropState(NamedTuple):
    """The trajectories in work and the key of what is drawn next."""

    places: Places
    key: Key[Array, ""]


class _Sample(NamedTuple):
    """The mean of some problems' gradients, their differences from it, and how many they are."""

    mean: Float[Array, " meta_params"]
    apart: Float[Array, "problems meta_params"]
    number: Float[Array, ""]


class _Mixture(NamedTuple):
    """A mean of two estimates, and its squared error, entry by entry."""

    mean: Float[Array, " meta_params"]
    error: Float[Array, " meta_params"]


class ESAndBackprop(MetaGradient):
    """Two estimates of the gradient of one smoothed meta-loss, weighted by inverse variance.

    Each problem has an antithetic pair. The difference of the two meta-losses gives one
    estimate, backpropagation through both unrolls the other (the reparametrisation gradient);
    for every meta-param on its own they are averaged in inverse proportion to their variances
    over the problems. Where unrolls are smooth backpropagation decides, where its gradients
    explode evolution strategies do. Truncated as `TruncatedBackprop` is, and biased as much;
    as in the paper the weights come from the same problems as what they weight, which adds a
    bias in inverse proportion to the number of problems and understates the variance (by 2 %
    of the gradient and a quarter of the variance in a test with 48 problems).

    Both of a pair begin every unroll at the trajectory's one place, and the one with the noise
    added goes on. With histories of their own, what earlier noise did to them would be in
    their difference, as noise.

    Backpropagated gradients are clipped problem by problem to the norm `problem_clip_norm`, as
    `TruncatedBackprop` does. A problem whose gradient is not finite, or more than ten times as
    long, is left to the other estimate.

    Raises `ValueError` if `deviation` or `problem_clip_norm` is not positive.

    **Example**

    ```python
    estimator = ESAndBackprop(Unrolling(steps=20, problems=24), deviation=0.01)
    state = estimator.init(optimizer, group, jax.random.key(0))
    estimate = estimator.estimate(optimizer, group, state, meta_step=jnp.array(0))
    ```
    """

    unrolling: Unrolling = Unrolling()
    deviation: float = eqx.field(static=True, default=0.01)
    problem_clip_norm: float = eqx.field(static=True, default=1.0)

    def __check_init__(self) -> None:
        check_clip_norm("problem_clip_norm", self.problem_clip_norm)
        check_deviation(self.deviation)

    @classmethod
    def examples(cls) -> Sequence["ESAndBackprop"]:
        return (cls(Unrolling(steps=3, problems=4)),)

    def init(
        self, optimizer: LearnedOptimizer, group: Group, key: Key[Array, ""]
    ) -> ESAndBackpropState:
        pairs = empty_pairs(self.unrolling, optimizer, group, key)
        return ESAndBackpropState(_one_of_each(pairs), key)

    def estimate(
        self,
        optimizer: LearnedOptimizer,
        group: Group,
        state: ESAndBackpropState,
        meta_step: Int[Array, ""],
    ) -> Estimate:
        renewal_key, noise_key, key = jax.random.split(state.key, 3)
        new = self.unrolling.renew(state.places, group, renewal_key, meta_step)
        problems = self.unrolling.problems
        noise = perturbations(noise_key, optimizer, problems, self.deviation, meta_step)
        meta_params, optimizer_of = vectors(optimizer)

        def one_pair(
            meta_params: Float[Array, " meta_params"],
            noise: Float[Array, " meta_params"],
            trajectory: Trajectory,
            start: Beginning,
            is_finished: Bool[Array, ""],
        ) -> tuple[Float[Array, ""], Unrolled]:
            both, pair = both_ways(meta_params, noise), _pair(trajectory)
            unrolled = unroll_pair(self.unrolling, both, optimizer_of, pair, start, is_finished)
            return unrolled.meta_loss.mean(), unrolled

        differentiated = jax.vmap(jax.grad(one_pair, has_aux=True), in_axes=(None, 0, 0, 0, 0))
        gradients, unrolled = differentiated(
            meta_params, noise, state.places.trajectories, new.starts, new.finished
        )
        directions = noise / self.deviation**2
        estimated = estimate_of_pairs(self.unrolling, state.places, new, unrolled, directions)
        differences = (unrolled.meta_loss[:, 0] - unrolled.meta_loss[:, 1]) / 2
        sound = ~estimated.faults.bad
        norms = jnp.sqrt(jnp.square(gradients).sum(1))
        useful = sound & jnp.isfinite(norms) & (norms <= BEYOND_USE * self.problem_clip_norm)
        scale = shortening(norms, self.problem_clip_norm)
        by_es = _sample(differences[:, None] * directions, sound)
        by_backprop = _sample(scale[:, None] * gradients, useful)
        mixed = _mixture(by_es, by_backprop, BEYOND_USE * self.problem_clip_norm)
        taken = {"meta/clipped": useful & (scale < 1), "meta/left_to_es": sound & ~useful}
        return estimated._replace(
            gradient=mixed.mean,
            state=ESAndBackpropState(_one_of_each(estimated.state), key),
            metrics=dict(estimated.metrics) | counts(taken),
            variance=mixed.error.sum(),
        )


def _pair(one: Trajectory) -> Trajectory:
    params, opt_state = jax.tree.map(
        lambda leaf: jnp.stack([leaf, leaf]), (one.params, one.opt_state)
    )
    return one._replace(params=params, opt_state=opt_state)


def _one_of_each(pairs: Places) -> Places:
    """Keep the first of each pair."""
    params, opt_state = jax.tree.map(
        lambda leaf: leaf[:, 0], (pairs.trajectories.params, pairs.trajectories.opt_state)
    )
    ones = pairs.trajectories._replace(params=params, opt_state=opt_state)
    return pairs._replace(trajectories=ones)


def _sample(
    values: Float[Array, "problems meta_params"], counted: Bool[Array, " problems"]
) -> _Sample:
    number = counted.sum().astype(jnp.float32)
    # Zero times NaN is NaN, so what is not counted is replaced.
    kept = jnp.where(counted[:, None], values, 0.0)
    mean = sum_of_rows(kept) / jnp.maximum(number, 1.0)
    return _Sample(mean, jnp.where(counted[:, None], kept - mean[None], 0.0), number)


def _mixture(by_es: _Sample, by_backprop: _Sample, least_length_left: float) -> _Mixture:
    """Average by inverse variance: the paper's section 4.

    Problems that are left out of backpropagation are an error of its mean, as large as their
    part of all problems times the least length that their gradients have.
    """
    es, backprop = _covariance(by_es, by_es), _covariance(by_backprop, by_backprop)
    left = 1 - by_backprop.number / jnp.maximum(by_es.number, 1.0)
    # Without clipping the length is infinite, and infinity times nothing left would be NaN.
    left_out = jnp.where(left > 0, jnp.square(least_length_left * left) / by_es.mean.size, 0.0)
    # Of evolution strategies: none where neither has an error, all where there is nothing else.
    share = (backprop + left_out) / jnp.maximum(es + backprop + left_out, 1e-30)
    share = jnp.where((by_backprop.number > 0) & jnp.isfinite(left_out), share, 1.0)
    rest = 1 - share
    # Both are of the same trajectories and noise, so that their errors go together.
    together = 2 * share * rest * _covariance(by_es, by_backprop)
    error = jnp.square(share) * es + jnp.square(rest) * backprop + together
    return _Mixture(share * by_es.mean + rest * by_backprop.mean, error)


def _covariance(one: _Sample, other: _Sample) -> Float[Array, " meta_params"]:
    """Of two means, of which the second is over some of the first's problems, or all."""
    of_problems = sum_of_rows(one.apart * other.apart) / jnp.maximum(other.number - 1, 1.0)
    return of_problems / jnp.maximum(one.number, 1.0)
