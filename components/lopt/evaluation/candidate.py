"""What is compared: an optax transformation for each of one or several learning rates."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import optax

from lopt.architectures.base import LearnedOptimizer
from lopt.architectures.learning_rates import DEFAULT_LEARNING_RATE
from lopt.evaluation.schedules import Schedule, constant


class Candidate(eqx.Module):
    """An optimizer under a name, with the learning rates it is tried at.

    `make` is called inside a compiled program with a float32 scalar, so that all rates run
    at once; it may be a pytree (a method of a learned optimizer is one), and then its arrays
    are arguments of the program, which another optimizer of that architecture re-uses. With
    another `schedule` than the constant one, `make` is called with an `optax.Schedule`.

    Raises `ValueError` for rates that are missing, repeated, not positive or not finite.

    **Example**

    ```python
    adan = Candidate("Adan", optax.adan, learning_rates=(1e-4, 1e-3, 1e-2))
    falling = Candidate("Adan+cosine", optax.adan, (1e-4, 1e-3, 1e-2), schedules.cosine)
    ```
    """

    name: str = eqx.field(static=True)
    # Any: most take a rate or a schedule, but a learned optimizer no schedule.
    make: Callable[[Any], optax.GradientTransformation]
    learning_rates: tuple[float, ...] = eqx.field(static=True)
    schedule: Schedule = constant

    def __check_init__(self) -> None:
        rates = self.learning_rates
        if (
            not rates
            or len(set(rates)) < len(rates)
            or not all(0 < r < float("inf") for r in rates)
        ):
            raise ValueError(
                f"Candidate {self.name!r} needs learning rates that are positive, finite and "
                f"all different, at least one; received {rates}."
            )

    @property
    def tuned(self) -> bool:
        """Whether a sweep gives this optimizer the choice among several learning rates."""
        return len(self.learning_rates) > 1


def learned(
    optimizer: LearnedOptimizer,
    name: str = "learned",
    initial_learning_rate: float = DEFAULT_LEARNING_RATE,
) -> Candidate:
    """Enter a learned optimizer as its users have it: one initial learning rate, no sweep.

    **Example**

    ```python
    candidates = (learned(lopt.load("path/of/release")), *baselines())
    ```
    """
    return Candidate(name, optimizer.transformation, (initial_learning_rate,))
