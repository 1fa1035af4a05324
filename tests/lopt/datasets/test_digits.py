"""The embedded data set: scikit-learn's digits, whole, and split as stated."""

from collections import Counter

import numpy as np
from sklearn.datasets import load_digits

from lopt.datasets import SOURCES, DataSet


def test_no_digit_is_lost_changed_or_in_both_splits(digits: DataSet) -> None:
    levels, labels = load_digits(return_X_y=True)
    expected = Counter((row.tobytes(), label) for row, label in zip(levels, labels, strict=True))
    found: Counter[tuple[bytes, int]] = Counter()
    for name in ("train", "test"):
        split = digits.split(name)
        original = np.rint(split.images.reshape(-1, 64) * (16 / 255))
        found.update(
            (row.tobytes(), label) for row, label in zip(original, split.labels, strict=True)
        )
    assert found == expected


def test_the_levels_span_the_range_of_the_other_data_sets(digits: DataSet) -> None:
    images = digits.split("train").images
    assert images.shape == (1442, 8, 8, 1)
    assert images.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 255)


def test_every_fifth_of_each_class_is_for_testing(digits: DataSet) -> None:
    everything = np.bincount(load_digits().target)
    test = np.bincount(digits.split("test").labels)
    np.testing.assert_array_equal(test, everything // 5)
    np.testing.assert_array_equal(np.bincount(digits.split("train").labels), everything - test)


def test_the_split_never_changes(digits: DataSet) -> None:
    # Written down once: whoever changes the data set has to give it another version.
    assert digits.digest == "c27811e6d05987509c74f20043920bc9aeb68ccc3873d9edbc3a1a9d65aad0eb"
    assert digits.version == SOURCES["digits"].version
    assert sum(digits.counts.values()) == SOURCES["digits"].examples
