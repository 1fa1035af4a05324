"""Data sets in specs: by name, and only those that are given."""

import jax
import pytest

from lopt.problems import SpecError, build
from lopt.problems.constructors import constructors
from lopt.problems.image_mlp import ImageMLP
from lopt.problems.images import LabelledImages, striped_images
from lopt.problems.named_data_sets import named_data_sets

STRIPES = {"stripes": striped_images(20, (2, 2, 1), classes=2)}
MLP = {"problem": "ImageMLP", "data_set": "stripes", "samples": 5, "hidden": [3]}
NOISY = {"problem": "GradientNoise", "std": 0.1, "of": MLP}


def test_a_spec_s_name_stands_for_the_data_set_that_is_given(getkey):
    key = getkey()
    found = build(MLP, key, data_sets=STRIPES)
    expected = ImageMLP(data_set=STRIPES["stripes"], samples=5, hidden=(3,), key=key)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    assert (found.data.levels == expected.data.levels).all()


def test_inner_problems_and_parts_get_the_data_sets_too(getkey):
    problem = build({"problem": "Sum", "of": [NOISY, MLP]}, getkey(), data_sets=STRIPES)
    noisy, plain = problem.parts
    assert noisy.inner.data.levels.shape == plain.data.levels.shape == (5, 2, 2, 1)
    assert (noisy.inner.data.levels != plain.data.levels).any()


def test_shapes_alone_are_enough_to_check_a_spec(getkey):
    images, labels, *facts = STRIPES["stripes"]
    shapes = [jax.ShapeDtypeStruct(one.shape, one.dtype) for one in (images, labels)]
    checked = jax.eval_shape(
        lambda key, *arrays: build(
            MLP, key, data_sets={"stripes": LabelledImages(*arrays, *facts)}
        ),
        getkey(),
        *shapes,
    )
    assert checked.data.levels.shape == (5, 2, 2, 1)


def test_a_data_set_is_no_plain_argument_but_a_needed_one():
    assert constructors()["ImageMLP"].data_set == "data_set"
    assert "data_set" not in constructors()["ImageMLP"].values
    assert constructors()["Bowl"].data_set is None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"problem": "ImageMLP"}, r"spec\.data_set is missing: ImageMLP needs it"),
        (
            {**MLP, "data_set": "mnist"},
            r"spec\.data_set must be .* is 'mnist'; given: stripes\.",
        ),
        ({**MLP, "data_set": 3}, r"spec\.data_set must be the name of a data set .* but is 3"),
        ({**MLP, "datum": "x"}, r"spec\.datum: unknown argument .* data_set"),
        ({**MLP, "samples": 21}, r"spec \(ImageMLP\): samples must be at most 20"),
        (
            {**NOISY, "of": {**MLP, "data_set": "mnist"}},
            r"spec\.of\.data_set must be the name of a data set that is given, but is 'mnist'",
        ),
        (
            {"problem": "Bowl", "condition_number": 1.0, "data_set": "stripes"},
            r"spec\.data_set: unknown argument of Bowl",
        ),
    ],
)
def test_what_is_no_given_data_set_is_refused(spec, message, getkey):
    with pytest.raises(SpecError, match=message):
        build(spec, getkey(), data_sets=STRIPES)


def test_without_data_sets_the_error_says_so(getkey):
    with pytest.raises(SpecError, match=r"spec\.data_set must be .* given: none\."):
        build(MLP, getkey())


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ([{"family": "a", "spec": NOISY}, {"family": "b", "spec": MLP}], ("stripes",)),
        ({**MLP, "data_set": {"choice": ["mnist", {"choice": ["digits"]}]}}, ("digits", "mnist")),
        ({"choice": [MLP, {**MLP, "data_set": "digits"}]}, ("digits", "stripes")),
        ({"problem": "Sum", "of": [{**MLP, "data_set": name} for name in "ba"]}, ("a", "b")),
        ({"problem": "Bowl", "data_set": "digits"}, ()),
        ({**MLP, "problem": {"choice": ["ImageMLP", "ImageAutoencoder"]}}, ("stripes",)),
        ({**MLP, "problem": {"choice": ["Bowl", {"choice": ["ImageMLP"]}]}}, ("stripes",)),
        ({**MLP, "problem": {"choice": ["Bowl", "none such"]}}, ()),
        ({**MLP, "problem": ["ImageMLP"]}, ("stripes",)),
        ({"data_set": "digits"}, ()),
        ({**MLP, "data_set": 7}, ()),
        ("ImageMLP", ()),
        (None, ()),
    ],
)
def test_all_data_sets_that_specs_can_name_are_found(value, names):
    assert named_data_sets(value) == names
