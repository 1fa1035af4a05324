"""Laws of pairs with opposite perturbations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.architectures import HierarchicalRNN
from lopt.ensembles import Group
from lopt.meta_gradients import FullES, NoiseReuseES, Unrolling
from lopt.meta_gradients.antithetic import (
    empty_pairs,
    estimate_of_pairs,
    perturbations_of,
    unroll_pairs,
)
from lopt.meta_gradients.combining import combine_along
from lopt.meta_gradients.places import Renewal, draw_beginning
from lopt.meta_gradients.vectors import vectors
from lopt.problems import Bowl
from lopt.unroll import before_first_step

DEVIATION = 1e-3


class BowlFromNearby(Bowl):
    """So near to the minimum that the small steps of a fresh optimizer matter."""

    def init(self, key):
        return jnp.array([[1e-2], [-7e-3]])


def orthogonal_perturbations(size):
    """As long as normal ones are on the average, and as many as there are meta-params."""
    matrix, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))
    return jnp.asarray(DEVIATION * np.sqrt(size) * matrix, jnp.float32)


def test_opposite_perturbations_in_all_directions_give_a_linear_gradient_exactly():
    gradient = jnp.arange(1.0, 8.0)
    noise = orthogonal_perturbations(7)
    combined = combine_along(jnp.zeros(7), noise @ gradient, noise / DEVIATION**2)
    # Up to rounding.
    np.testing.assert_allclose(combined.gradient, gradient, rtol=1e-5)
    # Seven single estimates, each a projection: the sum of their squares is 7 gradient^2.
    expected = (7 - 1) * jnp.square(gradient).sum() / (7 - 1)
    np.testing.assert_allclose(combined.variance, expected, rtol=1e-5)


def test_pairs_in_all_directions_give_the_derivative_of_an_unroll(getkey):
    """Initial hidden states, which are meta-params, are perturbed as well."""
    sizes = {"hidden_sizes": (3, 2), "scales": 1, "extra_features": ()}
    optimizer = HierarchicalRNN.release(**sizes, key=getkey())
    problem = BowlFromNearby(condition_number=2.0)
    group = Group("bowl", jax.tree.map(lambda leaf: leaf[None], problem), jnp.ones(1))
    meta_params, optimizer_of = vectors(optimizer)
    noise = orthogonal_perturbations(len(meta_params))
    unrolling = Unrolling(steps=3, problems=len(meta_params))

    @jax.jit
    def both(key):
        _, start = draw_beginning(group, key)
        number = unrolling.problems
        starts = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (number, *leaf.shape)), start)
        zeros = jnp.zeros(number, jnp.int32)
        new = Renewal(jnp.ones(number, bool), starts, zeros, zeros + 30)
        places = empty_pairs(unrolling, optimizer, group, key)
        unrolled = unroll_pairs(unrolling, optimizer, noise, places, new)

        def meta_loss(meta_params):
            learner = optimizer_of(meta_params)
            return unrolling.unroll(learner, before_first_step(start, learner)).meta_loss

        estimate = estimate_of_pairs(unrolling, places, new, unrolled, noise / DEVIATION**2)
        return estimate.gradient, jax.grad(meta_loss)(meta_params)

    estimated, exact = both(getkey())
    assert optimizer_of(exact).initial_hidden[0].any()
    # Curvature over a distance of DEVIATION sqrt(127), and rounding: 5e-4 were seen.
    assert jnp.linalg.norm(estimated - exact) < 3e-3 * jnp.linalg.norm(exact)


@pytest.mark.parametrize("kind", [FullES, NoiseReuseES])
@pytest.mark.parametrize("deviation", [0.0, -0.1, float("nan")])
def test_a_deviation_that_perturbs_nothing_is_refused(kind, deviation):
    with pytest.raises(ValueError, match=f"deviation is {deviation}, but must be positive"):
        kind(deviation=deviation)


@pytest.mark.parametrize(("backend", "loops"), [("cpu", 1), ("gpu", 0)])
def test_noise_is_that_of_each_key_and_no_accelerator_waits_for_the_host(
    backend, loops, monkeypatch
):
    optimizer = HierarchicalRNN(hidden_sizes=(3, 2, 2), scales=2, key=jax.random.key(0))
    monkeypatch.setattr(jax, "default_backend", lambda: backend)

    def noise(keys, meta_step):
        return perturbations_of(keys, optimizer, DEVIATION, meta_step)

    keys, meta_step = jax.random.split(jax.random.key(1), 3), jnp.array(7)
    equations = jax.make_jaxpr(noise)(keys, meta_step).eqns
    assert [equation.primitive.name for equation in equations].count("while") == loops
    alone = [noise(keys[number : number + 1], jnp.array(0))[0] for number in range(3)]
    np.testing.assert_allclose(jax.jit(noise)(keys, meta_step), jnp.stack(alone), rtol=1e-5)
