"""Laws of targets whose images are decoded while a network learns from them."""

from contextlib import closing
from itertools import islice
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from lopt.datasets.streams import EncodedSet, standardised
from lopt.datasets.streams.preparation import prepare_source
from lopt.evaluation import Candidate, evaluate_one, image_streams
from lopt.evaluation.cell_states import first_state, later_states
from lopt.evaluation.evaluate import finished, prepared
from lopt.evaluation.image_streams import ImageMinibatches, StreamName, streamed_target
from lopt.evaluation.named_targets import networks_by_name
from tests.lopt.datasets.streams.pictures import PICTURES
from tests.lopt.datasets.streams.published import expect_few_classes, fewer, publish_tars

BATCH_SIZE = 8
NETWORKS = networks_by_name()
PAPERS = {"resnet50": (32, 25_568_360), "inception-v3": (75, 23_817_352)}
"""Pixels that a network needs at least, and the params that were published of it."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> EncodedSet:
    return prepare_source(PICTURES, tmp_path_factory.mktemp("datasets"), Path())


def target_of(pictures, network):
    name = f"pictures@8/{network}"
    return streamed_target(name, pictures, NETWORKS[network], 4, 2, BATCH_SIZE)


@pytest.mark.parametrize("network", ["softmax", "convnet-batchnorm"])
def test_a_network_learns_from_pictures_while_they_are_decoded(pictures, network, getkey):
    target, key = target_of(pictures, network), getkey()
    cell = evaluate_one(target, Candidate("SGD", optax.sgd, (1e-3, 1e-2)), 2, key)
    assert cell.target == f"pictures@8/{network}"
    assert not cell.diverged.any()
    assert (cell.losses[:, :, -1] != cell.losses[:, :, 0]).all()
    assert {"test_loss", "test_accuracy", "training_accuracy"} == set(cell.metrics)
    again = evaluate_one(target_of(pictures, network), Candidate("b", optax.sgd, (1e-2,)), 2, key)
    np.testing.assert_allclose(again.losses[0], cell.losses[1], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("network", PAPERS)
def test_the_papers_networks_learn_from_imagenets_tars_whole(
    network, tmp_path, monkeypatch, getkey
):
    expect_few_classes(monkeypatch)
    publish_tars(tmp_path)
    imagenet = prepare_source(fewer("imagenet2012", 6, 5), tmp_path / "datasets", tmp_path)
    pixels, published = PAPERS[network]
    name = f"imagenet2012@{pixels}/{network}"
    target = streamed_target(name, imagenet, NETWORKS[network], 4, 2, batch_size=4)
    sgd, seeds = Candidate("SGD", optax.sgd, (1e-3,)), 2
    work = prepared(target, sgd, seeds, getkey())
    begun = jax.tree.map(np.asarray, work.program.starts)
    *_, state = later_states(work, first_state(work))
    trained = state.trajectories.trained
    assert sum(leaf.size for leaf in jax.tree.leaves(trained.params)) == seeds * published
    for before, after in ((begun.params, trained.params), (begun.memory, trained.memory)):
        for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
            assert np.isfinite(new).all()
            assert (new[0] != old).any(axis=tuple(range(1, old.ndim))).all()
    cell = finished(target, sgd, work, state)
    assert cell.losses.shape == (1, seeds, 3)
    assert np.isfinite(cell.losses).all()
    assert (np.diff(cell.losses) != 0).all()
    assert all(np.isfinite(values).all() for values in cell.metrics.values())


def test_the_minibatches_of_a_seed_are_the_same_from_any_step_on(pictures):
    minibatches = ImageMinibatches(pictures.directory, 8, BATCH_SIZE)

    def taken(seed, step, number):
        with closing(minibatches.batches(seed, step)) as batches:
            return list(islice(batches, number))

    for one, other in zip(taken(3, 0, 5)[2:], taken(3, 2, 3), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    assert not np.array_equal(taken(4, 0, 1)[0][0], taken(3, 0, 1)[0][0])


def test_the_minibatches_are_the_same_whoever_decodes_them(pictures):
    name = "imagenet2012@8/softmax"
    one, other = (
        streamed_target(name, pictures, NETWORKS["softmax"], 4, 2, BATCH_SIZE, processes)
        for processes in (0, 1)
    )
    assert other.minibatches.processes == 1
    with (
        closing(one.minibatches.batches(3, 0)) as by_threads,
        closing(other.minibatches.batches(3, 0)) as by_processes,
    ):
        for _ in range(3):
            for here, there in zip(next(by_threads), next(by_processes), strict=True):
                np.testing.assert_array_equal(here, there)


def test_losses_are_measured_on_pictures_from_all_over_a_split(pictures, monkeypatch):
    monkeypatch.setattr(image_streams, "MEASURED", 6)
    labels = target_of(pictures, "softmax").measured.training.labels.tolist()
    assert labels == [pictures.images("train")[place].label for place in (0, 3, 7, 11, 15, 19)]


def test_losses_are_measured_on_the_middles_of_all_pictures_of_small_splits(pictures):
    target = target_of(pictures, "softmax")
    assert target.measured.training.images.shape == (23, 8, 8, 3)
    assert target.measured.test_images.shape == (5, 8, 8, 3)
    labels = [pictures.images("test")[place].label for place in range(5)]
    assert target.measured.test_labels.tolist() == labels
    assert np.abs(target.measured.test_images).max() <= float(
        standardised(np.full(3, 255, np.uint8)).max()
    )


def test_names_say_images_pixels_and_network():
    assert StreamName.of("a/64x64@64/resnet50") == StreamName("a/64x64", 64, "resnet50")
    for name in ("digits/mlp", "a@0/mlp", "a@b/mlp", "a@8/", "a@8"):
        assert StreamName.of(name) is None


def test_pixels_that_a_network_cannot_take_and_names_of_another_form_are_refused(pictures):
    with pytest.raises(ValueError, match=r"pictures@8/resnet50.*at least 32.*Take more pixels"):
        target_of(pictures, "resnet50")
    with pytest.raises(ValueError, match="does not say <images>@<pixels>/<network>"):
        streamed_target("pictures", pictures, NETWORKS["softmax"], 4, 2)
