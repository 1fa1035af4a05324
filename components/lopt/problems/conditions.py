"""The conditions of an ensemble's problems in one transform: PAPER.md sections 5.2 and 5.4."""

from collections.abc import Sequence

import jax

from lopt.problems.base import Problem
from lopt.problems.gradient_transforms import GradientNoise, SparseGradient
from lopt.problems.quadratics import Quadratic
from lopt.problems.transforms import LogObjective, Rescale, Transform


class Conditions(Transform):
    """The inner problem rescaled, then its loss's logarithm, then noise, then sparse gradients.

    Each condition is the transform of its name, with one that does nothing as the default:
    `Rescale(scale)`, `LogObjective` if `logarithm`, `GradientNoise(std=noise)`, in the
    coordinates and of the loss that the optimizer sees, and `SparseGradient(zeroed)`, the
    probability. All are leaves, so that one inner problem under any conditions is one
    compiled program.

    Raises `ValueError` for what one of the four refuses.

    **Example**

    ```python
    problem = Conditions(Quadratic(dimensions=50, key=key), noise=1.0)
    ```
    """

    def __init__(
        self,
        inner: Problem,
        *,
        scale: float = 1.0,
        logarithm: bool = False,
        noise: float = 0.0,
        zeroed: float = 0.0,
    ) -> None:
        rescaled = Rescale(inner, scale=scale)
        noisy = GradientNoise(LogObjective(rescaled, applied=logarithm), std=noise)
        self.inner = SparseGradient(noisy, probability=zeroed)

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        quadratic = Quadratic(dimensions=3, key=jax.random.key(0))
        return [cls(quadratic), cls(quadratic, scale=9.0, logarithm=True, noise=0.1, zeroed=0.5)]
