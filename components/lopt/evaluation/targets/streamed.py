"""Targets whose minibatches come from the host, because their data do not fit on a device."""

import dataclasses
import itertools
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Key

from lopt.evaluation.splits import standardised, stripes
from lopt.evaluation.target import Better, Target
from lopt.evaluation.targets.image_classification import ImageClassification
from lopt.problems.base import Batch, Params, Problem


@runtime_checkable
class Minibatches(Protocol):
    """Where minibatches come from: a loader that reads and decodes, say.

    **Example**

    ```python
    for batch in itertools.islice(minibatches.batches(seed=0, step=300), 10):
        print(batch)
    ```
    """

    def batches(self, seed: int, step: int) -> Generator[Batch, None, None]:
        """Yield the minibatches from an inner step on, as numpy arrays of always the same shapes.

        They are decided by the seed (0 to 2**32 - 1) and the step, whatever was asked before,
        and go on for ever. Whoever has enough of them closes the generator.
        """


def unchanged(batch: Batch) -> Batch:
    """Return a minibatch as it is.

    **Example**

    ```python
    target = StreamedTarget("name", 500, 10, measured, minibatches, unchanged)
    ```
    """
    return batch


class StreamedTarget(Target):
    """Another target, trained on minibatches that the host reads for each step.

    The other one has the problem, the data on which losses are measured, and the metrics. Every
    optimizer gets the same minibatches at one seed, in the same order. Each recorded loss is a
    segment of its own: the minibatches of the steps before it, of all seeds, are on the device,
    and those of the next one are made ready meanwhile. `on_device` makes of a minibatch what the
    problem takes, in the compiled program: a function of some module, by which that is found.

    **Example**

    ```python
    measured = ImageClassification.of(some, test, network, name="", steps=10_000)
    target = StreamedTarget("images/network", 10_000, 100, measured, minibatches, unchanged)
    ```
    """

    name: str = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    record_every: int = eqx.field(static=True)
    measured: Target
    minibatches: Minibatches = eqx.field(static=True)
    on_device: Callable[[Batch], Batch] = eqx.field(static=True, default=unchanged)

    def unfed(self) -> Target:
        """Return the other target with the name and the steps of this one."""
        return dataclasses.replace(
            self.measured, name=self.name, steps=self.steps, record_every=self.record_every
        )

    def draw(self, key: Key[Array, ""]) -> Problem:
        return self.measured.draw(key)

    def metrics(self, problem: Problem, params: Params) -> dict[str, Float[Array, ""]]:
        return self.measured.metrics(problem, params)

    def better(self) -> Mapping[str, Better]:
        return self.measured.better()

    @classmethod
    def examples(cls) -> Sequence[Target]:
        (measured,) = ImageClassification.examples()
        return [cls("streamed stripes", 4, 2, measured, _Stripes())]


@dataclasses.dataclass(frozen=True)
class _Stripes:
    """Minibatches of four images that are in memory anyway."""

    def batches(self, seed: int, step: int) -> Generator[Batch, None, None]:
        splits = standardised(stripes(), stripes())
        images, labels = np.asarray(splits.images), np.asarray(splits.labels)
        for index in itertools.count(step):
            chosen = np.random.default_rng([seed, index]).integers(0, len(labels), 4)
            yield images[chosen], labels[chosen]
