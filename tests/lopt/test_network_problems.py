"""The ensemble of networks, and that meta-training can use each of them."""

import collections
import functools
import json

import equinox as eqx
import jax
import numpy as np
import pytest

from lopt.architectures import HierarchicalRNN
from lopt.ensembles import draw_ensemble
from lopt.meta_objectives import AverageLogLoss
from lopt.problems.image_autoencoder import ImageAutoencoder
from lopt.problems.image_convnet import ImageConvNet
from lopt.problems.image_mlp import ImageMLP
from lopt.problems.images import striped_images
from lopt.problems.language_model import TransformerLanguageModel
from lopt.problems.recurrent_network import RecurrentNetwork
from lopt.unroll import begin, unroll
from tasks.confs import EnsembleConf
from tasks.ensemble_data import stand_ins
from tasks.ensembles import read_entries

NETWORKS = (
    ImageMLP,
    ImageConvNet,
    ImageAutoencoder,
    RecurrentNetwork,
    TransformerLanguageModel,
)
INNER_STEPS = 10


@functools.cache
def entries():
    return read_entries(EnsembleConf(entries="conf/ensembles/networks.yaml"))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_family_of_networks_is_one_program_whatever_is_drawn(seed):
    rows = draw_ensemble(entries(), seed, stand_ins()).rows
    assert len(rows) == 64
    assert len({row.program for row in rows}) == len({row.family for row in rows}) == 8
    assert {row.category for row in rows} == {"networks"}
    assert {json.loads(row.spec)["problem"] for row in rows} == {made.__name__ for made in NETWORKS}


def test_widths_activations_initializations_and_batch_sizes_are_drawn():
    rows = draw_ensemble(entries(), 0, stand_ins()).rows
    specs = [json.loads(row.spec) for row in rows if row.family.startswith("mlps")]
    for argument, least in (("hidden", 6), ("activation", 4), ("initialization", 3)):
        assert len({str(spec[argument]) for spec in specs}) >= least
    assert len({spec["batch_size"] for spec in specs}) == 4


@functools.cache
def untrained():
    return HierarchicalRNN.release(
        hidden_sizes=(3, 2), scales=1, extra_features=(), key=jax.random.key(0)
    )


@eqx.filter_jit
def meta_gradient(optimizer, problem, key):
    meta_params, static = eqx.partition(optimizer, eqx.is_inexact_array)

    def meta_loss(meta_params):
        optimizer = eqx.combine(meta_params, static)
        trajectory = begin(problem, optimizer, key)
        _, losses = unroll(optimizer, trajectory, INNER_STEPS)
        return AverageLogLoss().score(losses, trajectory).meta_loss, losses

    return eqx.filter_value_and_grad(meta_loss, has_aux=True)(meta_params)


def losses_learned_from(problem, key):
    """Check a meta-gradient on one problem, and return the losses of its ten steps."""
    (meta_loss, losses), gradient = meta_gradient(untrained(), problem, key)
    numbers = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradient)])
    assert np.isfinite(meta_loss)
    assert (np.asarray(losses) >= 0).all()
    assert np.isfinite(numbers).all()
    assert (numbers != 0).any()
    return np.asarray(losses)


@pytest.mark.parametrize(
    "made", [ImageMLP, *(pytest.param(made, marks=pytest.mark.slow) for made in NETWORKS[1:])]
)
def test_a_ten_step_unroll_of_a_network_has_a_finite_meta_gradient_that_is_not_zero(made, getkey):
    losses = losses_learned_from(made.examples()[0], getkey())
    assert len(np.unique(losses)) == INNER_STEPS


@functools.cache
def rows_by_family():
    # As many images of the same shape as the digits have, because tests do not prepare those.
    images = {"digits": striped_images(1437, (8, 8, 1), classes=10)}
    families = collections.defaultdict(list)
    for row in draw_ensemble(entries(), 0, images).rows:
        families[row.family].append(row.build(images))
    return families


@pytest.mark.slow
@pytest.mark.parametrize("family", [entry["family"] for entry in entries()])
def test_a_ten_step_unroll_of_every_shipped_network_has_one_too(family, getkey):
    for problem in rows_by_family()[family]:
        # With small initial weights losses are close to log 10: two may be the same float32.
        assert len(np.unique(losses_learned_from(problem, getkey()))) > INNER_STEPS // 2
