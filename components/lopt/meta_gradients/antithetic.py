"""Pairs of trajectories whose meta-params differ by opposite perturbations.

What the estimators by evolution strategies share. Meta-params are handled as one float32
vector; a perturbation is one such vector for every problem.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from lopt.architectures import LearnedOptimizer
from lopt.ensembles import Group
from lopt.meta_gradients.base import Estimate
from lopt.meta_gradients.combining import combine_along
from lopt.meta_gradients.noise import standard_normal
from lopt.meta_gradients.places import (
    Places,
    Renewal,
    counts,
    draw_beginning,
    empty_places,
    faults_of,
    moved_on,
    where,
)
from lopt.meta_gradients.unrolling import Unrolled, Unrolling
from lopt.meta_gradients.vectors import number_of_meta_params, vectors
from lopt.side_by_side import for_each_problem
from lopt.unroll import Beginning, Trajectory, before_first_step

# Where `vmap` finds the two of a pair: on one problem, with the same batches and the same noise.
SHARED: Any = None
OF_EACH: Any = 0
PAIR = Trajectory(
    problem=SHARED,
    key=SHARED,
    initial_loss=SHARED,
    params=OF_EACH,
    opt_state=OF_EACH,
    inner_step=SHARED,
)
# They begin at one place.
ONE_START = PAIR._replace(params=SHARED)


def perturbations(
    key: Key[Array, ""],
    optimizer: LearnedOptimizer,
    problems: int,
    deviation: float,
    meta_step: Int[Array, ""],
) -> Float[Array, "problems meta_params"]:
    """Draw normal perturbations of all meta-params, one vector for each problem.

    **Example**

    ```python
    noise = perturbations(jax.random.key(0), optimizer, 24, 0.01, meta_step=jnp.array(0))
    ```
    """
    return perturbations_of(jax.random.split(key, problems), optimizer, deviation, meta_step)


def perturbations_of(
    keys: Key[Array, " problems"],
    optimizer: LearnedOptimizer,
    deviation: float,
    meta_step: Int[Array, ""],
) -> Float[Array, "problems meta_params"]:
    """Draw normal perturbations, each from the key of its problem, whatever the meta-step is.

    **Example**

    ```python
    keys = jax.random.split(key, 24)
    noise = perturbations_of(keys, optimizer, deviation=0.01, meta_step=jnp.array(0))
    ```
    """
    size = number_of_meta_params(optimizer)

    def draw(key: Key[Array, ""]) -> Float[Array, " meta_params"]:
        return deviation * standard_normal(key, size)

    if jax.default_backend() != "cpu":
        return jax.vmap(draw)(keys)
    # One round of a loop of which the compiler does not know that it is one: what leaves it has
    # been computed. Normal numbers were computed anew for each of three readers, a quarter of a
    # meta-step on small problems. Elsewhere such a loop would wait for the host.
    nothing = jnp.zeros((len(keys), size), jnp.float32)
    noise: Float[Array, "problems meta_params"] = jax.lax.fori_loop(
        meta_step, meta_step + 1, lambda *_: jax.vmap(draw)(keys), nothing
    )
    return noise


def empty_pairs(
    unrolling: Unrolling, optimizer: LearnedOptimizer, group: Group, key: Key[Array, ""]
) -> Places:
    """Return places for pairs, which begin at the first estimate.

    **Example**

    ```python
    places = empty_pairs(Unrolling(), optimizer, group, jax.random.key(0))
    ```
    """

    def one(key: Key[Array, ""]) -> Trajectory:
        one = before_first_step(draw_beginning(group, key)[1], optimizer)
        params, opt_state = jax.tree.map(_twice, (one.params, one.opt_state))
        return one._replace(params=params, opt_state=opt_state)

    return empty_places(jax.eval_shape(one, key), unrolling.problems)


def unroll_pairs(
    unrolling: Unrolling,
    optimizer: LearnedOptimizer,
    noise: Float[Array, "problems meta_params"],
    places: Places,
    new: Renewal,
) -> Unrolled:
    """Unroll every problem's pair with the meta-params plus and minus the problem's noise.

    Pairs that are finished begin anew before. In what is returned, whatever differs between
    the two of a pair has an axis of length 2 behind that of the problems.

    **Example**

    ```python
    unrolled = unroll_pairs(Unrolling(), optimizer, noise, places, new)
    differences = unrolled.meta_loss[:, 0] - unrolled.meta_loss[:, 1]
    ```
    """
    meta_params, optimizer_of = vectors(optimizer)

    def one_pair(
        noise: Float[Array, " meta_params"],
        pair: Trajectory,
        start: Beginning,
        is_finished: Bool[Array, ""],
    ) -> Unrolled:
        return unroll_pair(
            unrolling, both_ways(meta_params, noise), optimizer_of, pair, start, is_finished
        )

    return for_each_problem(one_pair, new.starts.params)(
        noise, places.trajectories, new.starts, new.finished
    )


def both_ways(
    meta_params: Float[Array, " meta_params"], noise: Float[Array, " meta_params"]
) -> Float[Array, "2 meta_params"]:
    """Return the meta-params plus and minus the noise.

    **Example**

    ```python
    both = both_ways(jnp.array([1.0]), jnp.array([0.1]))  # [[1.1], [0.9]]
    ```
    """
    return jnp.stack([meta_params + noise, meta_params - noise])


def unroll_pair(
    unrolling: Unrolling,
    both: Float[Array, "2 meta_params"],
    optimizer_of: Callable[[Float[Array, " meta_params"]], LearnedOptimizer],
    pair: Trajectory,
    start: Beginning,
    is_finished: Bool[Array, ""],
) -> Unrolled:
    """Unroll one pair, each of the two with meta-params of its own.

    **Example**

    ```python
    unrolled = unroll_pair(Unrolling(), both, optimizer_of, pair, start, is_finished)
    ```
    """

    def begin(meta_params: Float[Array, " meta_params"]) -> Trajectory:
        return before_first_step(start, optimizer_of(meta_params))

    def unroll(meta_params: Float[Array, " meta_params"], one: Trajectory) -> Unrolled:
        return unrolling.unroll(optimizer_of(meta_params), one)

    fresh = jax.vmap(begin, out_axes=ONE_START)(both)
    fresh = fresh._replace(params=jax.tree.map(_twice, fresh.params))
    pair = where(is_finished, fresh, pair)
    axes = Unrolled(PAIR, OF_EACH, OF_EACH, OF_EACH)
    return jax.vmap(unroll, in_axes=(0, PAIR), out_axes=axes)(both, pair)


def estimate_of_pairs(
    unrolling: Unrolling,
    places: Places,
    new: Renewal,
    unrolled: Unrolled,
    directions: Float[Array, "problems meta_params"],
) -> Estimate:
    """Estimate from half of the difference within each pair times its direction.

    The state that is returned are the places as they are now.

    **Example**

    ```python
    estimate = estimate_of_pairs(unrolling, places, new, unrolled, noise / deviation**2)
    ```
    """
    differences = (unrolled.meta_loss[:, 0] - unrolled.meta_loss[:, 1]) / 2
    combined = combine_along(unrolled.meta_loss.mean(1), differences, directions)
    trajectories = unrolled.trajectory
    exploded = unrolling.exploded(unrolled.last_loss, trajectories.initial_loss)
    metrics = counts(
        {
            "meta/nonfinite": ~combined.sound,
            "inner/exploded": combined.sound & exploded,
            "inner/resets": new.finished,
        }
    )
    taken = jnp.asarray(2 * unrolling.problems * unrolling.steps, jnp.float32)
    losses = unrolled.remembered.sum(1)
    return Estimate(
        meta_loss=combined.meta_loss,
        gradient=combined.gradient,
        state=moved_on(places, new, trajectories, ~combined.sound | exploded),
        metrics=metrics | {"inner/steps": taken},
        variance=combined.variance,
        faults=faults_of(combined.sound, new.entries, trajectories.inner_step, losses),
    )


def check_deviation(deviation: float) -> None:
    """Raise `ValueError` for a standard deviation that is not positive.

    **Example**

    ```python
    check_deviation(0.01)
    ```
    """
    if not deviation > 0:
        raise ValueError(f"deviation is {deviation}, but must be positive.")


def _twice(leaf: Array) -> Array:
    return jnp.stack([leaf, leaf])
