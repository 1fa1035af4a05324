"""What a target is: something on which finished optimizers are compared."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal

import equinox as eqx
from jaxtyping import Array, Float, Key

from lopt.problems.base import Params, Problem

Better = Literal["lower", "higher"]


class Target(eqx.Module):
    """A problem to be drawn, the number of steps to train it, and what to measure at the end.

    The training loss is recorded for every target. It is the problem's own: noise-free, at
    `full_batch` and at the evaluation params; a lower one is better. A target adds what is
    measured once, on the params that the training ends with.

    Data are array leaves, so that a target is handed to a compiled program and is not
    written into it. What two optimizers get at one seed is the same by construction:
    everything random comes from the key that `draw` and the trajectory are given.

    **Example**

    ```python
    for cell in evaluate(digits_targets(data_set), baselines(), seeds=8, key=jax.random.key(0)):
        print(cell.target, cell.optimizer, cell.losses.shape)
    ```
    """

    name: eqx.AbstractVar[str]
    """Unique in a report; "/" groups, as in "digits/mlp"."""
    steps: eqx.AbstractVar[int]
    """Inner steps of a trajectory."""
    record_every: eqx.AbstractVar[int]
    """Inner steps from one recorded loss to the next; divides `steps`."""

    def __check_init__(self) -> None:
        if self.record_every < 1 or self.steps < 1 or self.steps % self.record_every:
            raise ValueError(
                f"Target {self.name!r} trains for {self.steps} steps and records every "
                f"{self.record_every}: both must be positive, and the second must divide the "
                f"first, or else the loss after the last step would not be recorded."
            )

    @abstractmethod
    def draw(self, key: Key[Array, ""]) -> Problem:
        """Return the problem of one seed; can be traced, and has the same structure always."""

    @classmethod
    @abstractmethod
    def examples(cls) -> Sequence["Target"]:
        """Return small instances on which the contract tests run; at least one."""

    def metrics(self, problem: Problem, params: Params) -> dict[str, Float[Array, ""]]:
        """Return what is measured at the end, float32 scalars by name; nothing by default."""
        del problem, params
        return {}

    def better(self) -> Mapping[str, Better]:
        """Say for each of `metrics` whether lower or higher values are better."""
        return {}
