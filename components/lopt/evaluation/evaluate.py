"""Training problems with any optax transformation, and recording how it went."""

import dataclasses
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Float32, Key

from lopt.evaluation.candidate import Candidate
from lopt.evaluation.cell import Cell
from lopt.evaluation.schedules import Schedule
from lopt.evaluation.target import Better, Target
from lopt.evaluation.trajectory import Start, begin, train

Make = Callable[[Any], optax.GradientTransformation]
Measured = tuple[Float[Array, "..."], dict[str, Float[Array, "..."]]]


def evaluate(
    targets: Sequence[Target], candidates: Sequence[Candidate], seeds: int, key: Key[Array, ""]
) -> Iterator[Cell]:
    """Yield the result of every candidate on every target, target by target.

    Each pair is one compiled program that runs all learning rates and seeds together. Seeds
    are paired: what is random about seed `s` depends on `key`, `s` and the target alone.

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
    return (
        evaluate_one(target, candidate, seeds, key)
        for target in targets
        for candidate in candidates
    )


def evaluate_one(target: Target, candidate: Candidate, seeds: int, key: Key[Array, ""]) -> Cell:
    """Return the result of one candidate on one target, the same as `evaluate` yields.

    Raises `ValueError` if there are fewer than two seeds.

    **Example**

    ```python
    cell = evaluate_one(target, Candidate("Adam", optax.adam, (1e-3, 1e-2)), 8, jax.random.key(0))
    ```
    """
    _refuse_few(seeds)
    rates = jnp.asarray(candidate.learning_rates, jnp.float32)
    # With its name every target would be a program of its own.
    nameless = dataclasses.replace(target, name="")
    keys = seed_keys(key, target.name, seeds)
    starts = _begin_all(nameless, keys)
    measured = _train_all(nameless, candidate.make, candidate.schedule, rates, starts, keys)
    losses, metrics = jax.tree.map(np.asarray, measured)
    finite = np.logical_and.accumulate(np.isfinite(losses), axis=-1)
    better = dict(target.better())
    return Cell(
        target=target.name,
        optimizer=candidate.name,
        learning_rates=candidate.learning_rates,
        steps=np.arange(0, target.steps + 1, target.record_every, dtype=np.int32),
        losses=np.where(finite, losses, np.float32(np.inf)),
        metrics={name: _without_nan(value, better[name]) for name, value in metrics.items()},
        better=better,
    )


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


@eqx.filter_jit
def _begin_all(target: Target, keys: Key[Array, " seeds"]) -> Start:
    return jax.vmap(lambda key: begin(target, key))(keys)


@eqx.filter_jit
def _train_all(
    target: Target,
    make: Make,
    schedule: Schedule,
    rates: Float[Array, " rates"],
    starts: Start,
    keys: Key[Array, " seeds"],
) -> Measured:
    def one(rate: Float[Array, ""], start: Start, key: Key[Array, ""]) -> Measured:
        return train(target, start, make(schedule(rate, target.steps)), key)

    return jax.vmap(jax.vmap(one, (None, 0, 0)), (0, None, None))(rates, starts, keys)


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
