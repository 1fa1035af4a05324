"""Comparing pytrees of arrays."""

from typing import Any

import jax
import numpy as np


def assert_equal(one: Any, other: Any) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)
