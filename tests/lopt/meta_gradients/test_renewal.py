"""Laws of what begins in the places that are finished."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.architectures import GlobalLearningRate
from lopt.ensembles import draw_ensemble
from lopt.meta_gradients import TruncatedBackprop, Unrolling
from lopt.meta_gradients.places import Places
from tests.lopt.processors import on_processors

ENTRIES = [{"family": "bowls", "spec": {"problem": "Quadratic", "dimensions": 2}}]
(GROUP,) = draw_ensemble(ENTRIES, seed=0).groups()
UNROLLING = Unrolling(steps=2, problems=4)


def places(finished) -> Places:
    """Places of which these are finished."""
    optimizer = GlobalLearningRate(key=jax.random.key(0))
    empty = TruncatedBackprop(UNROLLING).init(optimizer, GROUP, jax.random.key(0)).places
    steps = jnp.where(jnp.array(finished), 4, 0).astype(jnp.int32)
    trajectories = empty.trajectories._replace(inner_step=steps)
    return empty._replace(trajectories=trajectories, lengths=jnp.full_like(empty.lengths, 4))


def renewed(given: Places):
    return UNROLLING.renew(given, GROUP, jax.random.key(1), jnp.array(0, jnp.int32))


def numbers_of(tree) -> list[np.ndarray]:
    leaves = jax.tree.leaves(tree)
    is_key = [jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in leaves]
    pairs = zip(leaves, is_key, strict=True)
    return [np.asarray(jax.random.key_data(leaf) if key else leaf) for leaf, key in pairs]


def program() -> str:
    # A new function each time, for JAX remembers what it has traced.
    return str(jax.make_jaxpr(partial(renewed))(places([True] * 4)))


@pytest.mark.parametrize("finished", [[True, False, True, True], [True] * 4])
def test_what_begins_is_the_same_whether_or_not_a_device_can_leave_drawing_out(
    finished, monkeypatch
):
    with_choice = renewed(places(finished))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    always_drawn = renewed(places(finished))
    for one, other in zip(numbers_of(with_choice), numbers_of(always_drawn), strict=True):
        np.testing.assert_array_equal(one, other)


@on_processors
def test_nothing_is_drawn_where_no_trajectory_ends():
    new = renewed(places([False] * 4))
    assert not new.finished.any()
    assert not jax.tree.leaves(new.starts.params)[0].any()
    assert renewed(places([False, False, False, True])).starts.params.any()


@on_processors
def test_an_accelerator_is_asked_nothing(monkeypatch):
    assert "cond[" in program()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert "cond[" not in program()
