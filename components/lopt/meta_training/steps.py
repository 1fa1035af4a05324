"""One compiled program for several meta-steps: sampling, estimates, meta-updates."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PyTree

from lopt.architectures import LearnedOptimizer
from lopt.compiled_programs import processor_options
from lopt.ensembles import Group
from lopt.hashed_ahead import hashed_ahead
from lopt.hashed_together import hashed_together
from lopt.meta_gradients import Estimate, Faults
from lopt.meta_gradients.combining import norm
from lopt.meta_gradients.vectors import MetaParams, vectors
from lopt.meta_training.devices import kept_divided, kept_on_all
from lopt.meta_training.metrics import MetaMetrics
from lopt.meta_training.schedule import Turn
from lopt.meta_training.settings import MetaTraining
from lopt.meta_training.sizes import all_small
from lopt.meta_training.state import MetaState
from lopt.tracing import traced_once

# How much of a group's running mean square stays from one meta-step to the next.
NORM_DECAY = 0.95


class _Carried(NamedTuple):
    """What goes from one meta-step to the next: a `MetaState` with its meta-params as a vector."""

    meta_params: MetaParams
    meta_opt_state: optax.OptState
    estimator_states: tuple[PyTree[Any], ...]
    meta_step: Int[Array, ""]
    square_norms: tuple[Float[Array, ""], ...]


class Given(NamedTuple):
    """What one meta-step gives beside the new state."""

    values: dict[str, Float[Array, ""]]
    faults: tuple[Faults, ...]


def take_turn(
    training: MetaTraining,
    groups: Sequence[Group],
    meta_state: MetaState,
    turn: Turn,
    mesh: Mesh | None = None,
) -> tuple[MetaState, MetaMetrics]:
    """Take the meta-steps of a turn, as one compiled program for all whole turns of a bundle.

    On a processor it is that of shorter turns, too.

    **Example**

    ```python
    turn = training.schedule(groups).turn(done=0, last_meta_step=None)
    meta_state, metrics = take_turn(training, groups, meta_state, turn)
    ```
    """
    arguments = _arguments(training, groups, meta_state, turn, mesh)
    part, given = _program(training, arguments[2])(*arguments)
    families = tuple(groups[index].family for index in turn.groups)
    first = turn.done + 1
    metrics = MetaMetrics(first, turn.steps, given.values, families, given.faults)
    return _with_part(meta_state, part, turn.groups), metrics


def with_a_program(training: MetaTraining, turn: Turn) -> Turn:
    """Return a turn of a bundle that needs no program of its own: a whole one, or this one.

    Where a loop knows its number of rounds, the surplus costs seconds and a program minutes.

    **Example**

    ```python
    _, metrics = take_turn(training, groups, meta_state, with_a_program(training, turn))
    metrics.rows()[: turn.steps]
    ```
    """
    if isinstance(_count(turn.steps), int):
        return turn._replace(steps=training.steps_per_dispatch)
    return turn


def compile_turn(
    training: MetaTraining,
    groups: Sequence[Group],
    meta_state: MetaState,
    turn: Turn,
    mesh: Mesh | None = None,
) -> None:
    """Compile the program of a turn, and of all such turns of its bundle; take no meta-step.

    **Example**

    ```python
    compile_turn(training, groups, meta_state, turn)
    ```
    """
    arguments = _arguments(training, groups, meta_state, turn, mesh)
    _program(training, arguments[2]).lower(*arguments).compile()


def _arguments(
    training: MetaTraining,
    groups: Sequence[Group],
    meta_state: MetaState,
    turn: Turn,
    mesh: Mesh | None,
) -> tuple[Any, ...]:
    return (
        training.of_program(),
        jnp.asarray(turn.shares, jnp.float32),
        tuple(groups[index] for index in turn.groups),
        part_of(meta_state, turn.groups),
        _meta_learning_rates(training, meta_state),
        _count(turn.steps),
        mesh,
    )


def _meta_learning_rates(training: MetaTraining, meta_state: MetaState) -> Float[Array, " steps"]:
    """Return the rates of a dispatch, whose own program then knows nothing of their settings."""
    rates = _rates_program(
        training.meta_learning_rate,
        training.warmup_steps,
        training.decay_steps,
        training.steps_per_dispatch,
    )
    return rates(meta_state.meta_step, meta_state.rate_scale)


# By numbers, which are compared in no time, unlike settings: a dispatch may take milliseconds.
@functools.cache
def _rates_program(
    meta_learning_rate: float, warmup_steps: int, decay_steps: int, steps_per_dispatch: int
) -> Callable[[Int[Array, ""], Float[Array, ""]], Float[Array, " steps"]]:
    training = MetaTraining(
        meta_learning_rate=meta_learning_rate, warmup_steps=warmup_steps, decay_steps=decay_steps
    )

    def rates(meta_step: Int[Array, ""], rate_scale: Float[Array, ""]) -> Float[Array, " steps"]:
        steps = meta_step + jnp.arange(steps_per_dispatch, dtype=jnp.int32)
        # One by one: what computes several at once may round otherwise.
        one_by_one: Float[Array, " steps"] = jax.lax.map(training.meta_learning_rate_at, steps)
        return rate_scale * one_by_one

    return jax.jit(rates)


def _count(steps: int) -> Int[Array, ""] | int:
    """Return how many rounds the loop has: a constant of the program but on a processor.

    There a shorter last turn is no program of its own. An accelerator asks the host after every
    round of a loop whose number of rounds it does not know.
    """
    return jnp.asarray(steps, jnp.int32) if jax.default_backend() == "cpu" else steps


def part_of(meta_state: MetaState, groups: Sequence[int]) -> MetaState:
    """Return a state with what belongs to these groups alone.

    **Example**

    ```python
    part = part_of(meta_state, turn.groups)
    ```
    """
    return dataclasses.replace(
        meta_state,
        estimator_states=tuple(meta_state.estimator_states[index] for index in groups),
        square_norms=tuple(meta_state.square_norms[index] for index in groups),
    )


def _with_part(meta_state: MetaState, part: MetaState, groups: Sequence[int]) -> MetaState:
    states, square_norms = list(meta_state.estimator_states), list(meta_state.square_norms)
    for place, index in enumerate(groups):
        states[index], square_norms[index] = part.estimator_states[place], part.square_norms[place]
    return dataclasses.replace(
        part, estimator_states=tuple(states), square_norms=tuple(square_norms)
    )


def _meta_steps(
    training: MetaTraining,
    shares: Float[Array, " groups"],
    groups: tuple[Group, ...],
    meta_state: MetaState,
    rates: Float[Array, " steps"],
    count: Int[Array, ""] | int,
    mesh: Mesh | None,
) -> tuple[MetaState, Given]:
    """Take `count` meta-steps, at most as many as a dispatch has."""
    meta_params, optimizer_of = vectors(meta_state.optimizer)

    def one(given: tuple[_Carried, Float[Array, ""]]) -> tuple[_Carried, Given]:
        carried, rate = given
        optimizer = optimizer_of(carried.meta_params)
        estimates = [
            _estimate(training, group, optimizer, state, carried.meta_step, mesh)
            for group, state in zip(groups, carried.estimator_states, strict=True)
        ]
        return _updated(training, shares, groups, rate, carried, estimates)

    def body(step: Int[Array, ""], so_far: tuple[_Carried, Given]) -> tuple[_Carried, Given]:
        carried, given = traced((so_far[0], rates[step]))
        return carried, jax.tree.map(lambda kept, new: kept.at[step].set(new), so_far[1], given)

    carried = _Carried(
        meta_params,
        meta_state.meta_opt_state,
        meta_state.estimator_states,
        meta_state.meta_step,
        meta_state.square_norms,
    )
    # On several devices each hashes words for its own problems, and gathers no others.
    runnable = _hashing_little if mesh is None else jaxpr_as_fun
    traced, form = traced_once(one, (carried, rates[0]), runnable)
    room = (training.steps_per_dispatch,)
    nothing = jax.tree.map(lambda leaf: jnp.zeros(room + leaf.shape, leaf.dtype), form[1])
    carried, given = jax.lax.fori_loop(0, count, body, (carried, nothing))
    new_state = MetaState(
        optimizer=optimizer_of(carried.meta_params),
        meta_opt_state=carried.meta_opt_state,
        estimator_states=carried.estimator_states,
        meta_step=carried.meta_step,
        rate_scale=meta_state.rate_scale,
        square_norms=carried.square_norms,
    )
    return new_state, given


def _hashing_little(closed: ClosedJaxpr) -> Callable[..., list[Any]]:
    return hashed_together(hashed_ahead(closed))


def _program(training: MetaTraining, groups: Sequence[Group]) -> Any:
    return _compiled(training.compile_quickly, all_small(groups))


@functools.cache
def _compiled(quickly: bool, small: bool) -> Any:
    # Equinox declares neither that it takes options nor what it returns.
    jit: Any = eqx.filter_jit
    return jit(_meta_steps, compiler_options=processor_options(quickly, small))


def _updated(
    training: MetaTraining,
    shares: Float[Array, " groups"],
    groups: Sequence[Group],
    rate: Float[Array, ""],
    carried: _Carried,
    estimates: Sequence[Estimate],
) -> tuple[_Carried, Given]:
    """Average the groups' estimates and move the meta-params."""
    square_norms = tuple(
        _square_norm(old, estimate.gradient)
        for old, estimate in zip(carried.square_norms, estimates, strict=True)
    )
    weights = shares
    if training.equal_groups:
        weights = shares / jnp.sqrt(jnp.stack(square_norms) + 1e-20)
    gradient = weights @ jnp.stack([estimate.gradient for estimate in estimates])
    # optax adds floats and whole numbers, which a program may have forbidden.
    with jax.numpy_dtype_promotion("standard"):
        direction, meta_opt_state = training.meta_optimizer().update(
            gradient, carried.meta_opt_state, carried.meta_params
        )
    moved = _Carried(
        carried.meta_params - rate * jnp.asarray(direction),
        meta_opt_state,
        tuple(estimate.state for estimate in estimates),
        carried.meta_step + 1,
        square_norms,
    )
    values = _values(training, groups, shares, weights, estimates, gradient)
    values["meta/learning_rate"] = rate
    return moved, Given(values, tuple(estimate.faults for estimate in estimates))


def _estimate(
    training: MetaTraining,
    group: Group,
    optimizer: LearnedOptimizer,
    state: PyTree[Any],
    meta_step: Int[Array, ""],
    mesh: Mesh | None,
) -> Estimate:
    with nullcontext() if mesh is None else jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        estimate = training.estimator.estimate(optimizer, group, state, meta_step)
    divided = kept_divided(estimate.state, mesh)
    return kept_on_all(estimate._replace(state=None), mesh)._replace(state=divided)


def _square_norm(old: Float[Array, ""], gradient: MetaParams) -> Float[Array, ""]:
    now = jnp.square(norm(gradient))
    return jnp.where(old == 0, now, NORM_DECAY * old + (1 - NORM_DECAY) * now)


def _values(
    training: MetaTraining,
    groups: Sequence[Group],
    shares: Float[Array, " groups"],
    weights: Float[Array, " groups"],
    estimates: Sequence[Estimate],
    gradient: MetaParams,
) -> dict[str, Float[Array, ""]]:
    gradient_norm = norm(gradient)
    variances = jnp.stack([estimate.variance for estimate in estimates])
    values = {
        "meta/gradient_norm": gradient_norm,
        "meta/gradient_clipped": (gradient_norm > training.clip_norm).astype(jnp.float32),
        "meta/gradient_error": jnp.sqrt((jnp.square(weights) * variances).sum()),
    }
    for group, estimate in zip(groups, estimates, strict=True):
        for name, mean in _means(estimate).items():
            values[f"{name}/{group.family}"] = mean
        for name in BY_FAMILY:
            values[f"{name}/{group.family}"] = estimate.metrics[name]
    for name in _means(estimates[0]):
        means = jnp.stack([_means(estimate)[name] for estimate in estimates])
        # A family without a sound problem has no mean, and leaves the others theirs.
        known = jnp.where(jnp.isfinite(means), shares, 0.0)
        values[name] = jnp.where(known > 0, known * means, 0.0).sum() / known.sum()
    for name in estimates[0].metrics:
        values[name] = jnp.stack([estimate.metrics[name] for estimate in estimates]).sum()
    return values


def _means(estimate: Estimate) -> dict[str, Float[Array, ""]]:
    """Return what is a mean over problems, by family too."""
    return {"meta/loss": estimate.meta_loss} | dict(estimate.means or {})


# What tells of a problem that goes wrong is counted by family as well.
BY_FAMILY = ("meta/nonfinite", "inner/exploded")
