"""The ensembles of conf/: what PAPER.md section 5.4 lists, in few programs, and all trainable."""

import collections
import functools
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.architectures import HierarchicalRNN
from lopt.ensembles import Ensemble, draw_ensemble
from lopt.meta_objectives import AverageLogLoss
from lopt.unroll import begin, unroll
from tasks.confs import EnsembleConf
from tasks.ensembles import read_entries

INNER_STEPS = 10
ENTRIES = {"release": 101, "release_off": 51, "paper": 121}
PROGRAMS = {"release": 31, "release_off": 11, "paper": 25}

# PAPER.md section 5.4: the entries of each set that is on by default, and of those that are off.
ON = {
    "noisy_quadratic": 4,
    "large_quadratic": 3,
    "bowl": 4,
    "noisy_bowl": 4,
    "softmax_2_class": 4,
    "noisy_softmax_2_class": 4,
    "optimization_test": 9,
    "noisy_optimization_test": 9,
    "fully_connected_random_2_class": 12,
    "matmul": 10,
    "log_objective": 6,
    "rescale": 9,
    "norm": 3,
    "noisy_norm": 3,
    "sum": 6,
    "noisy_sum": 2,
    "sparse_gradient": 6,
    "sparse_gradient_mlp": 3,
}
OFF = {
    "quadratic": 4,
    "sparse_softmax": 1,
    "one_hot_sparse_softmax": 1,
    "sum_of_quadratics": 10,
    "projection_quadratic": 10,
    "outward_snake": 10,
    "dependency_chain": 10,
    "min_max_well": 5,
}
NETWORKS = {"fully_connected_random_2_class", "sparse_gradient_mlp"}
SLOW_AND_MINIBATCH = {
    "projection_quadratic",
    "outward_snake",
    "dependency_chain",
    "min_max_well",
}
# Of the released ensembles' programs, those that compile within seconds: the others are slow.
QUICK = {"quadratics_100", "norms"}


@functools.cache
def entries(name: str) -> list:
    return read_entries(EnsembleConf(entries=f"conf/ensembles/{name}.yaml"))


@functools.cache
def drawn(name: str) -> Ensemble:
    return draw_ensemble(entries(name), seed=0)


@functools.cache
def rows_by_family() -> dict[str, tuple]:
    """The 152 entries of the two parts of the released ensemble, by what they share."""
    families = collections.defaultdict(list)
    for row in (*drawn("release").rows, *drawn("release_off").rows):
        families[row.family].append(row)
    return {family: tuple(rows) for family, rows in families.items()}


def entries_of_sets(name):
    return dict(collections.Counter(row.problem_set for row in drawn(name).rows))


def test_the_release_has_the_sets_that_are_on_by_default_and_the_rest_is_apart():
    assert entries_of_sets("release") == ON
    assert entries_of_sets("release_off") == OFF


def test_the_paper_s_has_no_networks_but_the_slow_and_the_minibatch_problems():
    every = {**ON, **OFF}
    wanted = (set(ON) - NETWORKS) | SLOW_AND_MINIBATCH
    assert entries_of_sets("paper") == {name: every[name] for name in wanted}
    assert not any("FullyConnected" in row.spec for row in drawn("paper").rows)


@pytest.mark.parametrize("name", list(ENTRIES))
def test_entries_are_as_many_as_listed_and_weigh_the_same(name):
    rows = drawn(name).rows
    assert len(rows) == ENTRIES[name]
    assert {row.weight for row in rows} == {1.0}
    assert all(row.problem_set for row in rows)


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_every_family_is_one_program_and_they_are_few(name):
    rows = drawn(name).rows
    programs = {row.program for row in rows}
    assert len(programs) == len({row.family for row in rows}) == PROGRAMS[name] <= 40


@pytest.mark.parametrize("name", list(ENTRIES))
def test_every_seed_draws_the_same_specs_for_all_is_given(name):
    other = draw_ensemble(entries(name), seed=1)
    assert [row.spec for row in other.rows] == [row.spec for row in drawn(name).rows]
    assert other.digest != drawn(name).digest


def test_the_paper_s_five_groups_are_all_there():
    groups = {row.category for row in drawn("paper").rows}
    assert groups == {"two_dimensional", "convex", "noisy", "slow", "transformed", "algorithms"}


FAMILIES = [
    pytest.param(family, id=family, marks=[] if family in QUICK else [pytest.mark.slow])
    for family in dict.fromkeys(
        entry["family"] for entry in (*entries("release"), *entries("release_off"))
    )
]


@functools.cache
def untrained():
    return HierarchicalRNN.release(key=jax.random.key(0))


@eqx.filter_jit
@functools.partial(jax.vmap, in_axes=(None, 0, 0))
def meta_gradient(optimizer, problem, key):
    meta_params, static = eqx.partition(optimizer, eqx.is_inexact_array)
    draw_key, begin_key = jax.random.split(key)

    def meta_loss(meta_params):
        optimizer = eqx.combine(meta_params, static)
        trajectory = begin(problem.draw(draw_key), optimizer, begin_key)
        _, losses = unroll(optimizer, trajectory, INNER_STEPS)
        return AverageLogLoss().score(losses, trajectory).meta_loss, losses

    return jax.value_and_grad(meta_loss, has_aux=True)(meta_params)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_ten_step_unroll_of_every_entry_has_a_finite_meta_gradient_that_is_not_zero(
    family, getkey
):
    rows = rows_by_family()[family]
    problems = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[row.build() for row in rows])
    keys = jax.random.split(getkey(), len(rows))
    (meta_losses, losses), gradients = meta_gradient(untrained(), problems, keys)
    leaves = [np.asarray(leaf).reshape(len(rows), -1) for leaf in jax.tree.leaves(gradients)]
    lengths = np.linalg.norm(np.concatenate(leaves, axis=1), axis=1)
    for row, loss, path, length in zip(rows, meta_losses, losses, lengths, strict=True):
        said = json.loads(row.spec)
        assert np.isfinite(loss), said
        assert (np.asarray(path) >= 0).all(), said
        assert 0 < length < np.inf, said
