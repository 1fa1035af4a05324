"""Targets and reports small enough to be computed in a test."""

from collections.abc import Callable

import numpy as np
import pytest

from lopt.ensembles import draw_ensemble
from lopt.evaluation import Cell, Report
from lopt.evaluation.targets.held_out import HeldOut

SPEC = {
    "problem": "GradientNoise",
    "std": {"choice": [0.0, 0.1]},
    "of": {"problem": "Quadratic", "dimensions": 3},
}


@pytest.fixture(scope="session")
def noisy_quadratics() -> HeldOut:
    """Quadratics with three params and noisy gradients, twelve steps, every third recorded."""
    ensemble = draw_ensemble([{"family": "quadratics", "count": 4, "spec": SPEC}], seed=0)
    return HeldOut.of(ensemble.groups()[0], steps=12, record_every=3)


@pytest.fixture
def make_cell() -> Callable[..., Cell]:
    """A function that makes a cell of random curves for a target, an optimizer and its rates."""

    def make(target: str, optimizer: str, rates: tuple[float, ...], seed: int) -> Cell:
        generator = np.random.default_rng(seed)
        accuracy = generator.uniform(size=(len(rates), 5)).astype(np.float32)
        image = target.startswith("digits")
        return Cell(
            target=target,
            optimizer=optimizer,
            learning_rates=rates,
            steps=np.arange(0, 9, 2, dtype=np.int32),
            losses=generator.lognormal(size=(len(rates), 5, 5)).astype(np.float32),
            metrics={"test_accuracy": accuracy} if image else {},
            better={"test_accuracy": "higher"} if image else {},
        )

    return make


@pytest.fixture
def with_rates(report: Report, make_cell: Callable[..., Cell]) -> Report:
    """The report, and how each of its optimizers does from two initial rates on a target."""
    rates, target = (1e-6, 1e-1), "initial_rates/digits/mlp"
    cells = [make_cell(target, name, rates, 7 + i) for i, name in enumerate(report.optimizers)]
    cells[2].losses[1, :2, 3:] = np.inf
    return Report((*report.cells, *cells), report.facts)


@pytest.fixture
def report(make_cell: Callable[..., Cell]) -> Report:
    """Three targets, an optimizer without a sweep and two with one; one trajectory diverged."""
    sweeps = {"learned": (1e-3,), "SGD": (0.01, 0.1), "Adam": (0.001, 0.01, 0.1)}
    names = ("held_out/bowls", "held_out/sums", "digits/mlp")
    pairs = [(target, optimizer) for target in names for optimizer in sweeps]
    cells = [make_cell(*pair, sweeps[pair[1]], seed) for seed, pair in enumerate(pairs)]
    cells[1].losses[0, 2, 3:] = np.inf
    return Report(tuple(cells), {"ensemble": "abc"})
