"""The benchmarks' straight reference is the same rule, or it would be no reference."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import straight
from lopt.architectures import HierarchicalRNN, RandomLearningRate


def test_the_straight_reference_takes_the_same_steps(getkey) -> None:
    optimizer = HierarchicalRNN.release(key=getkey())
    params, key = [jnp.ones((3, 2)), jnp.zeros(4)], getkey()
    transformation = optimizer.transformation(RandomLearningRate(key))
    ours = transformation.init(params)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        theirs = straight.init(optimizer, params, key)
        for _ in range(4):
            gradient = [jax.random.normal(getkey(), leaf.shape) for leaf in params]
            updates, ours = transformation.update(gradient, ours)
            expected, theirs = straight.update(optimizer, gradient, theirs)
            for one, two in zip(updates, expected, strict=True):
                np.testing.assert_allclose(one, two, rtol=1e-4)
