"""The nine functions of two variables of the ensemble: PAPER.md section 5.2.

Where the formula of the paper's code loses its sign or its digits to rounding, an equal sum of
non-negative terms stands here; the docstrings say so.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from lopt.problems.arguments import one_of
from lopt.problems.base import Batch, Params, Problem

Real = Float[Array, ""]
Point = Float[Array, "2"]


class Function(NamedTuple):
    """A formula and where its trajectories begin."""

    formula: Callable[[Real, Real], Real]
    start: Callable[[Point, Point], Point]
    """Makes the first params of two draws, one uniform in the unit square and one normal."""


def _ackley(x: Real, y: Real) -> Real:
    """-20 exp(-r/5) - exp(mean of cosines) + e + 20, as two terms that vanish at the origin.

    `r` has no derivative at the origin; 0 is taken there.
    """
    square = 0.5 * (jnp.square(x) + jnp.square(y))
    radius = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
    cosines = 0.5 * (jnp.cos(2 * math.pi * x) + jnp.cos(2 * math.pi * y))
    return -20 * jnp.expm1(-0.2 * radius) - math.e * jnp.expm1(cosines - 1)


def _beale(x: Real, y: Real) -> Real:
    first = jnp.square(1.5 - x + x * y)
    second = jnp.square(2.25 - x + x * y**2)
    return first + second + jnp.square(2.625 - x + x * y**3)


def _booth(x: Real, y: Real) -> Real:
    return jnp.square(x + 2 * y - 7) + jnp.square(2 * x + y - 5)


def _branin(x: Real, y: Real) -> Real:
    valley = y - 5.1 / (4 * math.pi**2) * jnp.square(x) + 5 / math.pi * x - 6
    return jnp.square(valley) + 10 * (1 - 1 / (8 * math.pi)) * jnp.cos(x) + 10


def _log_sum_exp(x: Real, y: Real) -> Real:
    exponents = [x + 3 * y - 0.1, x - 3 * y - 0.1, -x - 0.1, jnp.zeros_like(x)]
    return jax.nn.logsumexp(jnp.stack(exponents))


def _matyas(x: Real, y: Real) -> Real:
    """0.26 (x^2 + y^2) - 0.48 x y, as a sum of squares."""
    return 0.25 * jnp.square(x - y) + 0.01 * jnp.square(x + y)


def _michalewicz(x: Real, y: Real) -> Real:
    first = jnp.sin(x) * jnp.sin(jnp.square(x) / math.pi) ** 10
    return 2 - first - jnp.sin(y) * jnp.sin(2 * jnp.square(y) / math.pi) ** 10


def _rosenbrock(x: Real, y: Real) -> Real:
    return jnp.square(1 - x) + 100 * jnp.square(y - jnp.square(x))


def _styblinski_tang(x: Real, y: Real) -> Real:
    return 0.5 * (x**4 - 16 * x**2 + 5 * x + y**4 - 16 * y**2 + 5 * y) + 80


def _box(low: Sequence[float], high: Sequence[float]) -> Callable[[Point, Point], Point]:
    def start(uniform: Point, normal: Point) -> Point:
        del normal
        corner, other = jnp.asarray(low, jnp.float32), jnp.asarray(high, jnp.float32)
        return corner + uniform * (other - corner)

    return start


def _square(low: float, high: float) -> Callable[[Point, Point], Point]:
    return _box((low, low), (high, high))


def _normal(uniform: Point, normal: Point) -> Point:
    del uniform
    return normal


FUNCTIONS = {
    "Ackley": Function(_ackley, _square(-32.768, 32.768)),
    "Beale": Function(_beale, _square(-4.5, 4.5)),
    "Booth": Function(_booth, _square(-10.0, 10.0)),
    "Branin": Function(_branin, _box((-5.0, 0.0), (10.0, 15.0))),
    "LogSumExp": Function(_log_sum_exp, _normal),
    "Matyas": Function(_matyas, _square(-10.0, 10.0)),
    "Michalewicz": Function(_michalewicz, _square(0.0, math.pi)),
    "Rosenbrock": Function(_rosenbrock, _square(-5.0, 10.0)),
    "StyblinskiTang": Function(_styblinski_tang, _square(-5.0, 5.0)),
}

# Where a function that is not wanted is evaluated instead: everything is smooth and small here.
_HARMLESS = 0.5


class TwoDimensional(Problem):
    """One of the nine functions of two variables by which optimizers are usually compared.

    Exemplars of single difficulties: curved valleys, many local minima, plateaus, steep
    walls. All are non-negative. Params: float32 `[2]`. Which function it is, is a number
    among the leaves, so that all nine share one program: all are evaluated and one is
    selected. The others see a harmless point, because a derivative that is not finite would
    come through a selection as NaN (https://docs.jax.dev/en/latest/faq.html, on `where`).

    **Example**

    ```python
    problem = TwoDimensional(function="Rosenbrock")
    ```
    """

    index: Int[Array, ""]

    def __init__(self, *, function: str) -> None:
        names = list(FUNCTIONS)
        self.index = jnp.asarray(names.index(one_of("function", function, names)), jnp.int32)

    def init(self, key: Key[Array, ""]) -> Params:
        # One key for both: only one of them is used.
        uniform = jax.random.uniform(key, (2,), jnp.float32)
        normal = jax.random.normal(key, (2,), jnp.float32)
        starts = jnp.stack([function.start(uniform, normal) for function in FUNCTIONS.values()])
        return starts[self.index]

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        del batch, key
        total = jnp.zeros((), jnp.float32)
        for index, function in enumerate(FUNCTIONS.values()):
            is_wanted = self.index == index
            x, y = jnp.where(is_wanted, params, _HARMLESS)
            total = total + jnp.where(is_wanted, function.formula(x, y), 0.0)
        return total

    def draw(self, key: Key[Array, ""]) -> "TwoDimensional":
        del key
        return self

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        return [cls(function="Ackley"), cls(function="Rosenbrock")]
