"""Seconds of a gradient and an update against the size of a minibatch: the paper's figure 7.

A machine is never quiet, so that optimizers take turns: in every round each has a reading, all
of them within the same seconds, and what is compared is readings of one round.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from lopt.evaluation.candidate import Candidate
from lopt.evaluation.target import Target
from lopt.evaluation.trajectory import Trained, inner_step
from lopt.evaluation.with_memory import WithMemory
from lopt.problems.base import Batch, Problem


class StepTime(NamedTuple):
    """One reading, a row of what is measured."""

    target: str
    optimizer: str
    learning_rate: float
    batch_size: int
    round: int
    seconds: float
    """Of one gradient and one update, mean over the steps of the reading."""
    steps: int
    """How many steps the reading is of."""


class _Step(NamedTuple):
    """A compiled inner step of one optimizer, and where it is in training."""

    name: str
    learning_rate: float
    run: Callable[[Trained], Trained]
    trained: Trained


def step_times(
    target: Target,
    candidates: Sequence[Candidate],
    batch_sizes: Sequence[int],
    *,
    rounds: int = 15,
    reading_seconds: float = 0.1,
    key: Key[Array, ""],
) -> Iterator[tuple[StepTime, ...]]:
    """Yield the readings of one size of minibatch after another, `rounds` for each candidate.

    A step takes the gradient on a minibatch that is at hand and updates the params; each
    candidate is at its first learning rate. A reading repeats steps for `reading_seconds` or
    longer. Compiling, and the steps that find out how many that are, are in no reading.
    The order within a round is turned by one each round.

    Raises `ValueError` before any work for a target whose problem has no `batch_size`, and for
    numbers that are not positive.

    **Example**

    ```python
    target = networks_by_name()["convnet-6"].on(digits)
    rows = [row for rows in step_times(target, candidates, (8, 64), key=key) for row in rows]
    ```
    """
    if not hasattr(target.draw(key), "batch_size"):
        raise ValueError(
            f"The target {target.name!r} has no minibatches whose size could be changed. Take a "
            "network on images, such as digits/convnet-6."
        )
    if min(rounds, reading_seconds, *batch_sizes) <= 0:
        raise ValueError(
            f"Rounds, seconds and sizes of minibatches must be positive, but are {rounds}, "
            f"{reading_seconds} and {tuple(batch_sizes)}."
        )
    return (
        _of_one_size(target, candidates, size, rounds, reading_seconds, key) for size in batch_sizes
    )


def _of_one_size(
    target: Target,
    candidates: Sequence[Candidate],
    batch_size: int,
    rounds: int,
    reading_seconds: float,
    key: Key[Array, ""],
) -> tuple[StepTime, ...]:
    # Any: the check above has found that it is there.
    drawn: Any = target.draw(key)
    problem: Problem = dataclasses.replace(drawn, batch_size=batch_size)
    steps = [_begun(problem, candidate, key) for candidate in candidates]
    repeats = []
    for place, step in enumerate(steps):
        steps[place], count = _repeats(step, reading_seconds)
        repeats.append(count)
    rows = []
    for number in range(rounds):
        for turn in range(len(steps)):
            place = (turn + number) % len(steps)
            steps[place], seconds = _read(steps[place], repeats[place])
            name, rate, count = steps[place].name, steps[place].learning_rate, repeats[place]
            rows.append(StepTime(target.name, name, rate, batch_size, number, seconds, count))
    return tuple(rows)


def _begun(problem: Problem, candidate: Candidate, key: Key[Array, ""]) -> _Step:
    """Compile a step and take it once."""
    init_key, batch_key, step_key = jax.random.split(key, 3)
    rate = candidate.learning_rates[0]
    transformation = candidate.make(jnp.asarray(rate, jnp.float32))
    params = eqx.filter_jit(type(problem).init)(problem, init_key)
    batch = eqx.filter_jit(type(problem).sample_batch)(problem, batch_key)
    memory = problem.init_memory() if isinstance(problem, WithMemory) else None

    def step(batch: Batch, trained: Trained) -> Trained:
        return inner_step(problem, transformation, trained, step_key, batch)

    run = functools.partial(eqx.filter_jit(step, donate="all-except-first"), batch)
    # Copied, for what begins as the params themselves must not be given away twice.
    begun = jax.tree.map(jnp.copy, Trained(params, transformation.init(params), memory))
    return _Step(candidate.name, rate, run, jax.block_until_ready(run(begun)))


def _repeats(step: _Step, reading_seconds: float) -> tuple[_Step, int]:
    """Return how many steps take so long, which doubling finds out."""
    repeats = 1
    while True:
        step, seconds = _read(step, repeats)
        if seconds * repeats >= reading_seconds:
            return step, repeats
        repeats *= 2


def _read(step: _Step, repeats: int) -> tuple[_Step, float]:
    trained = step.trained
    begun = time.perf_counter()
    for _ in range(repeats):
        trained = step.run(trained)
    jax.block_until_ready(trained)
    seconds = (time.perf_counter() - begun) / repeats
    return step._replace(trained=trained), seconds
