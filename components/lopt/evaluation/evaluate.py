"""Training problems with any optax transformation, and recording how it went."""

import dataclasses
import statistics
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Key

from lopt.compiled_programs import forget_if_many
from lopt.evaluation.candidate import Candidate
from lopt.evaluation.cell import Cell
from lopt.evaluation.cell_states import (
    CellState,
    Work,
    first_state,
    later_states,
    metrics_of,
    work_of,
)
from lopt.evaluation.robustness import from_all_rates, is_from_all_rates
from lopt.evaluation.target import Better, Target

Turn = Callable[[], AbstractContextManager[None]]


def evaluate(
    targets: Sequence[Target], candidates: Sequence[Candidate], seeds: int, key: Key[Array, ""]
) -> Iterator[Cell]:
    """Yield the result of every candidate on every target, target by target.

    Each pair is one compiled program that runs all learning rates and seeds together. Seeds
    are paired: what is random about seed `s` depends on `key`, `s` and the target alone. On a
    target that is called "initial_rates/..." every candidate begins at all of those rates.

    Raises `ValueError` before any work if two targets or two candidates have one name, or if
    there are fewer than two seeds.

    **Example**

    ```python
    candidates = (learned(optimizer), *baselines())
    cells = []
    for cell in evaluate(targets, candidates, seeds=8, key=jax.random.key(0)):
        cells.append(cell)  # and show how far it is: len(targets) * len(candidates) in all
    report = Report(tuple(cells))
    ```
    """
    _refuse_repeated("targets", [target.name for target in targets])
    _refuse_repeated("candidates", [candidate.name for candidate in candidates])
    _refuse_few(seeds)
    return _cells(targets, candidates, seeds, key)


def _cells(
    targets: Sequence[Target], candidates: Sequence[Candidate], seeds: int, key: Key[Array, ""]
) -> Iterator[Cell]:
    for target in targets:
        entered = from_all_rates(candidates) if is_from_all_rates(target.name) else candidates
        for candidate in entered:
            yield evaluate_one(target, candidate, seeds, key)
            # Each pair has programs of its own.
            forget_if_many()


def evaluate_one(target: Target, candidate: Candidate, seeds: int, key: Key[Array, ""]) -> Cell:
    """Return the result of one candidate on one target, the same as `evaluate` yields.

    Raises `ValueError` if there are fewer than two seeds.

    **Example**

    ```python
    cell = evaluate_one(target, Candidate("Adam", optax.adam, (1e-3, 1e-2)), 8, jax.random.key(0))
    ```
    """
    work = prepared(target, candidate, seeds, key)
    state = first_state(work)
    for newer in later_states(work, state):
        state = newer
    return finished(target, candidate, work, state)


def prepared(target: Target, candidate: Candidate, seeds: int, key: Key[Array, ""]) -> Work:
    """Return what a cell is made of, for whoever wants to keep its states in between.

    Raises `ValueError` if there are fewer than two seeds.

    **Example**

    ```python
    work = prepared(target, candidate, 8, jax.random.key(0))
    for state in later_states(work, first_state(work)):
        checkpoints.save(int(state.records), state, {})
    cell = finished(target, candidate, work, state)
    ```
    """
    _refuse_few(seeds)
    # With its name every target would be a program of its own.
    nameless = dataclasses.replace(target, name="")
    return work_of(nameless, candidate, seed_keys(key, target.name, seeds))


def finished(target: Target, candidate: Candidate, work: Work, state: CellState) -> Cell:
    """Return the cell of a state in which all is recorded.

    **Example**

    ```python
    *_, state = later_states(work, first_state(work))
    cell = finished(target, candidate, work, state)
    ```
    """
    losses = np.asarray(state.trajectories.losses)
    metrics = jax.tree.map(np.asarray, metrics_of(work, state))
    finite = np.logical_and.accumulate(np.isfinite(losses), axis=-1)
    better = dict(target.better())
    trajectories = losses.shape[0] * losses.shape[1]
    return Cell(
        target=target.name,
        optimizer=candidate.name,
        learning_rates=candidate.learning_rates,
        steps=np.arange(0, target.steps + 1, target.record_every, dtype=np.int32),
        losses=np.where(finite, losses, np.float32(np.inf)),
        metrics={name: _without_nan(value, better[name]) for name, value in metrics.items()},
        better=better,
        seconds_per_step=float(state.seconds) / (target.steps * trajectories),
        timed_together=trajectories,
    )


def timed_at_one_rate(
    cell: Cell,
    target: Target,
    candidate: Candidate,
    key: Key[Array, ""],
    seconds: float = 0.25,
    beside: Turn = nullcontext,
    alone: Turn = nullcontext,
) -> Cell:
    """Return the cell with the seconds of a step when only one learning rate's trajectories run.

    Who was swept over many rates is timed like who was not thus. They run as often as they can in
    about `seconds`, once at least, and the median counts: a run of milliseconds may be disturbed.
    The optimizer is compiled on this target once more, within `beside()`, and timed within
    `alone()`, by which a caller keeps other work from it.

    **Example**

    ```python
    cell = timed_at_one_rate(evaluate_one(target, adam, 8, key), target, adam, key)
    ```
    """
    one = dataclasses.replace(candidate, learning_rates=candidate.learning_rates[:1])
    with beside():
        work = prepared(target, one, cell.seeds, key)
        compiling = later_states(work, first_state(work))
        next(compiling)
        compiling.close()
    paces: list[float] = []
    with alone():
        end = time.monotonic() + seconds
        while not paces or time.monotonic() < end:
            paces.append(_pace(work, target, seconds))
    return dataclasses.replace(
        cell,
        seconds_per_step=statistics.median(paces) / cell.seeds,
        timed_together=cell.seeds,
    )


def _pace(work: Work, target: Target, seconds: float) -> float:
    """Return the seconds of a step of all trajectories, of which no more are taken than needed."""
    for state in later_states(work, first_state(work)):
        if state.seconds >= seconds:
            break
    steps = (int(state.records) - 1) * target.record_every
    return float(state.seconds) / max(steps, 1)


def seed_keys(key: Key[Array, ""], target: str, seeds: int) -> Key[Array, " seeds"]:
    """Return the key of each seed of a target; they do not depend on how many there are.

    Targets are told apart by their names, so that their scores are independent.

    **Example**

    ```python
    fourth = begin(target, seed_keys(jax.random.key(0), target.name, 8)[3])
    ```
    """
    fold_in = jax.vmap(jax.random.fold_in, (None, 0))
    own_key = jax.random.fold_in(key, zlib.crc32(target.encode()))
    return fold_in(own_key, jnp.arange(seeds, dtype=jnp.uint32))


def _without_nan(
    values: Float32[np.ndarray, "rates seeds"], better: Better
) -> Float32[np.ndarray, "rates seeds"]:
    worst = np.float32(np.inf if better == "lower" else -np.inf)
    return np.where(np.isnan(values), worst, values)


def _refuse_repeated(what: str, names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(
            f"The {what} must have different names, because a report tells them apart by "
            f"name; repeated: {', '.join(repeated)}. Rename them."
        )


def _refuse_few(seeds: int) -> None:
    if seeds < 2:
        raise ValueError(
            f"An evaluation needs at least two seeds, because a confidence interval does; "
            f"received {seeds}."
        )
