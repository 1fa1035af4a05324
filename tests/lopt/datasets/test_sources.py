"""What is said of data sets before they are prepared is what they are."""

import pytest

from lopt.datasets import SOURCES, DataSet
from lopt.datasets.builders import BUILDERS
from lopt.datasets.tfds import tfds


def test_the_prepared_digits_are_as_foretold(digits: DataSet) -> None:
    source = SOURCES["digits"]
    assert digits.schema == source.schema
    assert digits.counts["train"] == source.training_examples
    assert sum(digits.counts.values()) == source.examples


@pytest.mark.parametrize("name", list(SOURCES))
def test_shapes_and_classes_are_those_that_the_builder_states(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    features = BUILDERS[name](data_dir=tmp_path_factory.mktemp("tfds")).info.features
    assert features["image"].shape == SOURCES[name].schema.image_shape
    assert features["label"].num_classes == SOURCES[name].schema.classes
    assert isinstance(features["image"], tfds.features.Image)
