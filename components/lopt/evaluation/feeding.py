"""Minibatches on their way from the host to the device, for the targets that are fed."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key

from lopt.evaluation.targets.streamed import Minibatches
from lopt.problems.base import Batch


@contextmanager
def feed(
    minibatches: Minibatches | None, keys: Key[Array, " seeds"], step: int, at_once: int
) -> Iterator[Iterator[Batch]]:
    """Give the minibatches from an inner step on, so many steps at a time, without end.

    They are on the device, stacked by seed and then by step; `None` for problems that draw
    theirs themselves.

    **Example**

    ```python
    with feed(minibatches, keys, step=0, at_once=10) as batches:
        first_ten = next(batches)
    ```
    """
    if minibatches is None:
        yield itertools.repeat(None)
        return
    seeds = np.asarray(jax.vmap(jax.random.bits)(keys)).tolist()
    with ExitStack() as opened:
        streams = [opened.enter_context(closing(minibatches.batches(seed, step))) for seed in seeds]
        yield (_stacked([_next(stream, at_once) for stream in streams]) for _ in itertools.count())


# Those of the host are arrays of numpy.
def _next(stream: Iterator[Any], at_once: int) -> Any:
    found = list(itertools.islice(stream, at_once))
    if len(found) < at_once:
        raise ValueError(
            f"The minibatches have come to an end where {at_once} more were needed. They have to "
            "begin anew where the data are at their end."
        )
    return jax.tree.map(lambda *leaves: np.stack(leaves), *found)


def _stacked(of_seeds: list[Any]) -> Batch:
    return jax.device_put(jax.tree.map(lambda *leaves: np.stack(leaves), *of_seeds))
