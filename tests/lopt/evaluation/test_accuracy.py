"""Laws of what is measured at the end of a network's training."""

import jax
import jax.numpy as jnp
import numpy as np

from lopt.evaluation.accuracy import BETTER, accuracies
from lopt.problems.losses import cross_entropy


def sums(images):
    """Logits of two classes: whether an image's sum is positive."""
    total = images.sum(axis=(1, 2, 3))
    return jnp.stack([-total, total], axis=-1)


def test_each_split_is_measured_on_its_own_images(getkey):
    training, test = (jax.random.normal(getkey(), (n, 2, 3, 1), jnp.float32) for n in (5, 7))
    known = (training.sum(axis=(1, 2, 3)) > 0).astype(jnp.int32)
    wrong = 1 - (test.sum(axis=(1, 2, 3)) > 0).astype(jnp.int32)
    found = accuracies(sums, (training, known), (test, wrong.at[0].set(1 - wrong[0])))
    assert found.keys() == BETTER.keys()
    np.testing.assert_allclose(found["training_accuracy"], 1.0)
    np.testing.assert_allclose(found["test_accuracy"], 1 / 7, rtol=1e-6)
    expected = cross_entropy(sums(test), wrong.at[0].set(1 - wrong[0]))
    np.testing.assert_allclose(found["test_loss"], expected, rtol=1e-6)
