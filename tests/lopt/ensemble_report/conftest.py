"""A small ensemble of three programs: functions, bowls and padded quadratics, in four sets."""

import dataclasses
from collections.abc import Sequence

import jax
import pytest

from lopt.ensemble_report import (
    Beginnings,
    Landscape,
    Picture,
    draw_pictures,
    in_the_plane,
    measure,
    survey,
)
from lopt.ensembles import Ensemble, Group, draw_ensemble

STARTS = 3


def under(conditions: dict, **inner: object) -> dict:
    return {"problem": "Conditions", **conditions, "of": inner}


def entry(category: str, problem_set: str, family: str, spec: dict) -> dict:
    return {"category": category, "problem_set": problem_set, "family": family, "spec": spec}


def function(name: str, **conditions: float) -> dict:
    return under(conditions, problem="TwoDimensional", function=name)


def bowl(condition_number: float, **conditions: object) -> dict:
    return under(conditions, problem="Bowl", condition_number=condition_number)


def quadratic(dimensions: int) -> dict:
    return {"problem": "Quadratic", "dimensions": dimensions, "padded_to": 3}


ENTRIES = [
    entry("noisy", "noisy_functions", "functions", function("Booth", noise=1.0)),
    entry("two_dimensional", "functions", "functions", function("Booth")),
    entry("two_dimensional", "functions", "functions", function("LogSumExp")),
    entry("convex", "bowls", "bowls", bowl(5.0)),
    entry("transformed", "changed_bowls", "bowls", bowl(5.0, zeroed=0.99)),
    entry("transformed", "changed_bowls", "bowls", bowl(5.0, logarithm=True)),
    {"family": "quadratics", "spec": quadratic(2)},
    {"family": "quadratics", "spec": quadratic(3)},
]


@dataclasses.dataclass(frozen=True)
class Drawn:
    """An ensemble and all that is made of it."""

    ensemble: Ensemble
    groups: tuple[Group, ...]
    beginnings: Sequence[Beginnings]
    landscapes: tuple[Landscape, ...]
    pictures: tuple[Picture, ...]


@pytest.fixture(scope="session")
def drawn() -> Drawn:
    ensemble = draw_ensemble(ENTRIES, seed=0)
    groups = ensemble.groups()
    key = jax.random.key(5)
    measured = measure(ensemble.rows, groups, key, STARTS)
    beginnings = [one for part in measured for one in part]
    rows = in_the_plane(beginnings)
    landscapes = survey(rows, Ensemble(rows).groups(), key)
    pictures = draw_pictures(beginnings, landscapes)
    return Drawn(ensemble, groups, beginnings, landscapes, pictures)
