"""Laws of targets that are asked for by name, and of the networks they are made of."""

import dataclasses
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lopt.evaluation.targets.small_mlp
from lopt.datasets import DataSet
from lopt.datasets.manifest import Schema
from lopt.evaluation.image_network import ImageNetwork
from lopt.evaluation.named_targets import (
    data_sets_of,
    networks_by_name,
    targets,
)
from lopt.evaluation.pieces import logits_in_pieces
from lopt.evaluation.splits import stripes
from lopt.evaluation.with_memory import TargetWithMemory
from lopt.networks.mlp import MLP

NETWORKS = networks_by_name()


class Stripes(DataSet):
    """The stripes as if they were prepared."""

    def split(self, name):
        return dataclasses.replace(stripes(), name=name)


def data_set(name, shape):
    return Stripes(name, "1.0.0", "0" * 64, Path(), Schema(shape, classes=2), {})


DATA_SETS = {"digits": data_set("digits", (8, 8, 1)), "stripes": data_set("stripes", (4, 4, 1))}


def test_a_target_bears_the_name_that_it_was_asked_for_by():
    names = ["stripes/softmax", "papers/rosenbrock", "stripes/convnet-batchnorm"]
    found = targets(names, DATA_SETS, steps=6, record_every=2)
    assert [target.name for target in found] == names
    assert {(target.steps, target.record_every) for target in found} == {(6, 2)}
    assert [isinstance(target, TargetWithMemory) for target in found] == [False, False, True]


def test_before_a_target_may_stand_that_optimizers_begin_at_all_rates():
    names = ["stripes/softmax", "papers/rosenbrock"]
    apart = [f"initial_rates/{name}" for name in names]
    found = targets([*names, *apart], DATA_SETS)
    assert [target.name for target in found] == [*names, *apart]
    for plain, other in zip(found[:2], found[2:], strict=True):
        assert eqx.tree_equal(dataclasses.replace(other, name=plain.name), plain)
    assert data_sets_of(["initial_rates/digits/mlp", *apart]) == ("digits", "stripes")
    with pytest.raises(ValueError, match="no targets called initial_rates/stripes/x; known: pap"):
        targets(["initial_rates/stripes/x"], DATA_SETS)


def test_only_data_sets_that_are_needed_are_asked_for():
    names = ["digits/mlp", "papers/rosenbrock", "mnist/convnet", "digits/softmax"]
    assert data_sets_of(names) == ("digits", "mnist")


def test_two_targets_of_one_network_are_one_program():
    first, second = targets(["stripes/mlp-relu"] * 2, DATA_SETS)
    assert first is not second
    assert jax.tree.structure(first) == jax.tree.structure(second)
    assert hash(jax.tree.structure(first)) == hash(jax.tree.structure(second))
    (other,) = targets(["stripes/mlp-sigmoid"], DATA_SETS)
    assert jax.tree.structure(dataclasses.replace(other, name="stripes/mlp-relu")) != (
        jax.tree.structure(first)
    )


def test_the_small_mlp_begins_as_it_always_did(getkey):
    (target,) = targets(["digits/mlp"], {"digits": data_set("digits", (8, 8, 1))})
    key = getkey()
    assert eqx.tree_equal(target.draw(getkey()).init(key), MLP((64, 32, 2), key=key))


def test_a_problem_is_another_one_for_every_seed(getkey):
    (target,) = targets(["papers/quadratic-noisy"])
    first, second = target.draw(getkey()), target.draw(getkey())
    assert jax.tree.structure(first) == jax.tree.structure(second)
    assert not eqx.tree_equal(first, second)


def test_a_constant_in_a_module_of_targets_is_found(monkeypatch):
    mine = ImageNetwork("mine", NETWORKS["mlp"].make)
    monkeypatch.setattr(lopt.evaluation.targets.small_mlp, "MINE", mine, raising=False)
    assert networks_by_name()["mine"] is mine
    second = ImageNetwork("mine", NETWORKS["softmax"].make)
    monkeypatch.setattr(lopt.evaluation.targets.small_mlp, "SECOND", second, raising=False)
    with pytest.raises(ValueError, match=r"Two constants .* are called 'mine'"):
        networks_by_name()


def test_what_cannot_be_is_refused_before_any_work():
    with pytest.raises(ValueError, match=r"no targets called digits/mlpp, papers/x; known: papers"):
        targets(["digits/mlpp", "digits/mlp", "papers/x"], DATA_SETS)
    with pytest.raises(ValueError, match="needs the data set 'mnist', but was given: digits"):
        targets(["mnist/mlp"], DATA_SETS)
    with pytest.raises(ValueError, match="needs the data set 'mnist', but was given: none"):
        targets(["mnist/mlp"])
    too_small = "'digits/resnet50' needs images of at least 32 x 32 pixels, .* have 8 x 8 x 1"
    with pytest.raises(ValueError, match=too_small):
        targets(["stripes/softmax", "digits/resnet50"], DATA_SETS)
    grey = {"grey": data_set("grey", (32, 32, 1))}
    with pytest.raises(ValueError, match="needs images with 3 channels"):
        targets(["grey/convnet-32x64x64"], grey)
    with pytest.raises(ValueError, match="needs images with 3 channels"):
        NETWORKS["convnet-32x64x64"].on(grey["grey"])


def test_in_pieces_a_network_says_the_same(getkey):
    images = jax.random.normal(getkey(), (1100, 8, 8, 1), jnp.float32)
    network = MLP((64, 3), key=getkey())
    together = jax.vmap(network)(images)
    pieces = jax.jit(lambda images: logits_in_pieces(network, images, at_least=64))(images)
    np.testing.assert_allclose(pieces, together, rtol=1e-5, atol=1e-6)


def test_few_images_are_not_divided(getkey):
    def pieces(number, pixels, at_least):
        images = jnp.zeros((number, pixels, pixels, 1), jnp.float32)
        network = MLP((pixels**2, 3), key=getkey())
        jaxpr = jax.make_jaxpr(lambda images: logits_in_pieces(network, images, at_least))(images)
        return "scan" in str(jaxpr)

    assert [pieces(512, 8, 64), pieces(513, 8, 64)] == [False, True]
    assert [pieces(64, 28, 64), pieces(65, 28, 64), pieces(65, 28, 65)] == [False, True, False]
