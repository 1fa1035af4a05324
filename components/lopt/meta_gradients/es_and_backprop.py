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
from lopt.meta_gradients.antithetic import (
    both_ways,
    check_deviation,
    empty_pairs,
    estimate_of_pairs,
    perturbations,
    unroll_pair,
)
from lopt.meta_gradients.base import Estimate, MetaGradient
from lopt.meta_gradients.places import Places, counts
from lopt.meta_gradients.unrolling import Unrolled, Unrolling
from lopt.meta_gradients.vectors import vectors
from lopt.unroll import Beginning, Trajectory


class ESAndBackpropState(NamedTuple):
    """The pairs in work and the key of what is drawn next."""

    places: Places
    key: Key[Array, ""]


class _Moments(NamedTuple):
    """The mean over problems of each entry of a gradient, and the mean's squared error."""

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
    Backpropagation that gives no finite gradient for a problem leaves that problem to the
    other estimate.

    Raises `ValueError` if `deviation` is not positive.

    **Example**

    ```python
    estimator = ESAndBackprop(Unrolling(steps=20, problems=24), deviation=0.01)
    state = estimator.init(optimizer, group, jax.random.key(0))
    estimate = estimator.estimate(optimizer, group, state, meta_step=jnp.array(0))
    ```
    """

    unrolling: Unrolling = Unrolling()
    deviation: float = eqx.field(static=True, default=0.01)

    def __check_init__(self) -> None:
        check_deviation(self.deviation)

    @classmethod
    def examples(cls) -> Sequence["ESAndBackprop"]:
        return (cls(Unrolling(steps=3, problems=4)),)

    def init(
        self, optimizer: LearnedOptimizer, group: Group, key: Key[Array, ""]
    ) -> ESAndBackpropState:
        return ESAndBackpropState(empty_pairs(self.unrolling, optimizer, group, key), key)

    def estimate(
        self,
        optimizer: LearnedOptimizer,
        group: Group,
        state: ESAndBackpropState,
        meta_step: Int[Array, ""],
    ) -> Estimate:
        renewal_key, noise_key, key = jax.random.split(state.key, 3)
        new = self.unrolling.renew(state.places, group, renewal_key, meta_step)
        noise = perturbations(noise_key, optimizer, self.unrolling.problems, self.deviation)
        meta_params, optimizer_of = vectors(optimizer)

        def one_pair(
            meta_params: Float[Array, " meta_params"],
            noise: Float[Array, " meta_params"],
            pair: Trajectory,
            start: Beginning,
            is_finished: Bool[Array, ""],
        ) -> tuple[Float[Array, ""], Unrolled]:
            both = both_ways(meta_params, noise)
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
        differentiable = sound & jnp.isfinite(jnp.square(gradients).sum(1))
        slopes = jnp.where(sound, differences, 0.0)[:, None] * directions
        by_es, by_backprop = _moments(slopes, sound), _moments(gradients, differentiable)
        merged = _merged(by_es, by_backprop)
        not_differentiable = {"meta/backprop_nonfinite": sound & ~differentiable}
        return estimated._replace(
            gradient=merged.mean,
            state=ESAndBackpropState(estimated.state, key),
            metrics=dict(estimated.metrics) | counts(not_differentiable),
            variance=merged.error.sum(),
        )


def _moments(
    values: Float[Array, "problems meta_params"], sound: Bool[Array, " problems"]
) -> _Moments:
    count = sound.sum().astype(jnp.float32)
    kept = jnp.where(sound[:, None], values, 0.0)
    mean = kept.sum(0) / jnp.maximum(count, 1.0)
    deviations = jnp.where(sound[:, None], kept - mean[None], 0.0)
    error = jnp.square(deviations).sum(0) / jnp.maximum(count * (count - 1.0), 1.0)
    # A single problem says nothing about its own error.
    return _Moments(mean, jnp.where(count > 1, error, jnp.inf))


def _merged(one: _Moments, other: _Moments) -> _Moments:
    """Average by inverse variance, a small one added: the paper's section 4."""
    precisions = (1 / (one.error + 1e-8), 1 / (other.error + 1e-8))
    total = precisions[0] + precisions[1]
    unknown = total == 0
    weighted = precisions[0] * one.mean + precisions[1] * other.mean
    mean = jnp.where(unknown, one.mean, weighted / jnp.where(unknown, 1.0, total))
    return _Moments(mean, jnp.where(unknown, 0.0, 1 / jnp.where(unknown, 1.0, total)))
