"""A cell in the making: all its trajectories side by side, from one segment to the next."""

import math
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Float64, Int32, Int64, Key

from lopt.evaluation.candidate import Candidate
from lopt.evaluation.feeding import feed
from lopt.evaluation.schedules import Schedule, as_data
from lopt.evaluation.target import Target
from lopt.evaluation.targets.streamed import Minibatches, StreamedTarget, unchanged
from lopt.evaluation.trajectory import (
    Span,
    Start,
    Trajectory,
    advance,
    begin,
    measure,
    records_of,
    untrained,
)
from lopt.problems.base import Batch

LARGE = 1_000_000
"""Params beyond which trajectories are computed one after the other, not side by side.

What a gradient needs beside the params would not fit into memory for all of them, and a device is
busy with one."""
SEGMENT_SECONDS = 5.0
"""How long a segment takes at most where a record does not take longer; then it is one record."""


class Program(NamedTuple):
    """What a cell's compiled programs are made of, the same from beginning to end."""

    target: Target
    make: Callable[[Any], optax.GradientTransformation]
    schedule: Schedule
    on_device: Callable[[Batch], Batch]
    rates: Float[Array, " rates"]
    starts: Start
    keys: Key[Array, " seeds"]


class Work(NamedTuple):
    """A cell to be computed."""

    program: Program
    minibatches: Minibatches | None
    """`None` where problems draw theirs themselves."""


class CellState(NamedTuple):
    """All trajectories of a cell between two segments, every leaf an array: to be kept so."""

    trajectories: Trajectory
    """Of every learning rate and seed."""
    records: Int64[np.ndarray, ""]
    """How many losses of each are recorded."""
    seconds: Float64[np.ndarray, ""]
    """How long that has taken, without compiling."""


def work_of(target: Target, candidate: Candidate, keys: Key[Array, " seeds"]) -> Work:
    """Draw what the seeds of a cell begin with.

    `target` should be without its name, with which every target would be a program of its own.

    **Example**

    ```python
    work = work_of(dataclasses.replace(target, name=""), candidate, seed_keys(key, name, 8))
    ```
    """
    rates = jnp.asarray(candidate.learning_rates, jnp.float32)
    streamed = target if isinstance(target, StreamedTarget) else None
    target = target if streamed is None else streamed.unfed()
    program = Program(
        target=target,
        make=candidate.make,
        schedule=as_data(candidate.schedule),
        on_device=unchanged if streamed is None else streamed.on_device,
        rates=rates,
        starts=_begin_all(target, keys),
        keys=keys,
    )
    return Work(program, None if streamed is None else streamed.minibatches)


def first_state(work: Work) -> CellState:
    """Return the state of a cell before its first record.

    **Example**

    ```python
    state, facts = checkpoints.restore(like=first_state(work))
    ```
    """
    return CellState(_untrained_all(work.program), np.asarray(0), np.asarray(0.0))


def later_states(work: Work, state: CellState) -> Generator[CellState]:
    """Yield the state after each segment, until all is recorded; nothing if it is already.

    Where segments end changes no bit: they are as long as takes seconds, and one compiled
    program does for all. Each takes the memory of the state before, which thus must not be
    used once the next is asked for.

    **Example**

    ```python
    for state in later_states(work, first_state(work)):
        checkpoints.save(int(state.records), state, {})
    ```
    """
    program, records = work.program, int(state.records)
    last, at_once = records_of(program.target), program.target.record_every
    if records == last:
        return
    trajectories, seconds, length = state.trajectories, float(state.seconds), 1
    with feed(work.minibatches, program.keys, max(records - 1, 0) * at_once, at_once) as fed:
        batches = next(fed)
        # A segment of nothing, so that no time below holds any compiling.
        trajectories = _advance_all((program, _span(records, records), batches), trajectories)
        while records < last:
            until = min(max(records, 1) + length, last)
            begun = time.perf_counter()
            trajectories = _advance_all((program, _span(records, until), batches), trajectories)
            if until < last:
                # Made ready by the host while the device computes.
                batches = next(fed)
            jax.block_until_ready(trajectories)
            took = time.perf_counter() - begun
            seconds, records = seconds + took, until
            yield CellState(trajectories, np.asarray(records), np.asarray(seconds))
            length = _next_length(work, length, took)


def metrics_of(work: Work, state: CellState) -> dict[str, Float[Array, "rates seeds"]]:
    """Return what the target measures on the params that the trajectories have.

    **Example**

    ```python
    metrics_of(work, state)["test_accuracy"]
    ```
    """
    return _measure_all(work.program, state.trajectories)


def _next_length(work: Work, length: int, took: float) -> int:
    """Return how many records the next segment has: twice as many, until that takes too long."""
    # A target is fed for one record at a time.
    grows = 2 * took < SEGMENT_SECONDS and work.minibatches is None
    return 2 * length if grows else length


def _span(since: int, until: int) -> Span:
    return Span(jnp.asarray(since, jnp.int32), jnp.asarray(until, jnp.int32))


@eqx.filter_jit
def _begin_all(target: Target, keys: Key[Array, " seeds"]) -> Start:
    return jax.vmap(lambda key: begin(target, key))(keys)


@eqx.filter_jit
def _untrained_all(program: Program) -> Trajectory:
    def one(rate: Float[Array, ""], start: Start) -> Trajectory:
        return untrained(program.target, start, _made(program, rate))

    map_ = _map_of(program)
    of_rates = map_(map_(one, (None, 0)), (0, None))
    begun: Trajectory = of_rates(program.rates, program.starts)
    return begun


@eqx.filter_jit(donate="all-except-first")
def _advance_all(given: tuple[Program, Span, Batch], trajectories: Trajectory) -> Trajectory:
    program, span, batches = given
    target = program.target

    def one(
        rate: Float[Array, ""],
        start: Start,
        key: Key[Array, ""],
        trajectory: Trajectory,
        batches: Batch,
    ) -> Trajectory:
        def batch_of(index: Int32[Array, ""]) -> Batch:
            place = index % target.record_every
            return program.on_device(jax.tree.map(lambda leaf: leaf[place], batches))

        made = _made(program, rate)
        return advance(target, start, made, key, trajectory, span, batch_of)

    map_ = _map_of(program)
    of_rates = map_(map_(one, (None, 0, 0, 0, 0)), (0, None, None, 0, None))
    advanced: Trajectory = of_rates(
        program.rates, program.starts, program.keys, trajectories, batches
    )
    return advanced


@eqx.filter_jit
def _measure_all(
    program: Program, trajectories: Trajectory
) -> dict[str, Float[Array, "rates seeds"]]:
    def one(
        start: Start, key: Key[Array, ""], trajectory: Trajectory
    ) -> dict[str, Float[Array, ""]]:
        return measure(program.target, start, key, trajectory)

    map_ = _map_of(program)
    of_rates = map_(map_(one, (0, 0, 0)), (None, None, 0))
    measured: dict[str, Float[Array, "rates seeds"]] = of_rates(
        program.starts, program.keys, trajectories
    )
    return measured


def _map_of(program: Program) -> Callable[..., Callable[..., Any]]:
    """Return how trajectories are computed: side by side, or large ones one after the other."""
    scalars = sum(math.prod(leaf.shape[1:]) for leaf in jax.tree.leaves(program.starts.params))
    return jax.vmap if scalars <= LARGE else _one_by_one


def _one_by_one(function: Callable[..., Any], in_axes: Sequence[int | None]) -> Callable[..., Any]:
    """Do what `jax.vmap` does over first axes, in the memory that one of them takes."""

    def mapped(*arguments: Any) -> Any:
        many = [a for a, axis in zip(arguments, in_axes, strict=True) if axis is not None]

        def one(some: Sequence[Any]) -> Any:
            rest = iter(some)
            pairs = zip(arguments, in_axes, strict=True)
            return function(*(a if axis is None else next(rest) for a, axis in pairs))

        return jax.lax.map(one, many)

    return mapped


def _made(program: Program, rate: Float[Array, ""]) -> optax.GradientTransformation:
    return program.make(program.schedule(rate, program.target.steps))
