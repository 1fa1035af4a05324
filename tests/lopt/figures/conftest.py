"""Cells as a training leaves them, without any training."""

import zlib
from collections.abc import Callable

import numpy as np
import pytest

from lopt.evaluation import Cell


@pytest.fixture
def make_cell() -> Callable[..., Cell]:
    """A function that makes a cell; `slope` is how fast its losses fall, per rate."""

    def make(
        target: str, optimizer: str, rates: tuple[float, ...] = (1e-3,), slope: float = 1.0
    ) -> Cell:
        generator = np.random.default_rng(zlib.crc32(f"{target} {optimizer}".encode()))
        steps = np.arange(0, 110, 10, dtype=np.int32)
        falls = slope / (1 + np.abs(np.log10(np.array(rates)) + 3))
        curves = np.exp(-falls[:, None, None] * steps / 10)
        noise = generator.lognormal(sigma=0.3, size=(len(rates), 6, steps.size))
        losses = (curves * noise).astype(np.float32)
        return Cell(target, optimizer, rates, steps, losses, {}, {})

    return make
