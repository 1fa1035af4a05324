"""Meta-training: an endless iterator over meta-steps."""

from collections.abc import Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, PyTree

from lopt.architectures import LearnedOptimizer
from lopt.ensembles import Group
from lopt.meta_gradients import Estimate, MetaGradient, TruncatedBackprop

Metrics = dict[str, Float[Array, ""]]


class MetaState(eqx.Module):
    """Everything that changes in meta-training; enough to go on as if nothing had happened."""

    optimizer: LearnedOptimizer
    meta_opt_state: optax.OptState
    # One for each group of the ensemble.
    estimator_states: tuple[PyTree[Any], ...]
    meta_step: Int[Array, ""]


class MetaTraining(eqx.Module):
    """The settings of a meta-training: all static, so that equal settings share a program.

    The meta-optimizer is Adam on the gradient clipped to the global norm `clip_norm`, with a
    learning rate that rises linearly for `warmup_steps` and then falls to a tenth as a cosine
    until `decay_steps`. The paper and its code have RMSProp at 1e-6, which needs tens of
    millions of meta-steps (PAPER.md sections 4.5 and 7.3).

    **Example**

    ```python
    training = MetaTraining(meta_learning_rate=3e-3, decay_steps=1000)
    meta_state = init_meta_state(training, optimizer, groups, jax.random.key(0))
    for meta_state, metrics in itertools.islice(meta_train(training, groups, meta_state), 1000):
        print(metrics["meta/loss"])
    ```
    """

    estimator: MetaGradient = TruncatedBackprop()
    meta_learning_rate: float = eqx.field(static=True, default=3e-3)
    warmup_steps: int = eqx.field(static=True, default=20)
    decay_steps: int = eqx.field(static=True, default=1000)
    clip_norm: float = eqx.field(static=True, default=1.0)

    def __check_init__(self) -> None:
        if not 0 <= self.warmup_steps < self.decay_steps:
            raise ValueError(
                f"warmup_steps is {self.warmup_steps}, but must be at least 0 and less than "
                f"decay_steps, which is {self.decay_steps}."
            )

    def meta_optimizer(self) -> optax.GradientTransformationExtraArgs:
        """Return what moves the meta-params, as optax knows it."""
        schedule = optax.warmup_cosine_decay_schedule(
            init_value=0.1 * self.meta_learning_rate,
            peak_value=self.meta_learning_rate,
            warmup_steps=self.warmup_steps,
            decay_steps=self.decay_steps,
            end_value=0.1 * self.meta_learning_rate,
        )
        return optax.chain(optax.clip_by_global_norm(self.clip_norm), optax.adam(schedule))


def init_meta_state(
    training: MetaTraining,
    optimizer: LearnedOptimizer,
    groups: Sequence[Group],
    key: Key[Array, ""],
) -> MetaState:
    """Return the state before the first meta-step; the optimizer's provenance is dropped.

    **Example**

    ```python
    meta_state = init_meta_state(training, optimizer, groups, jax.random.key(0))
    ```
    """
    optimizer = optimizer.with_provenance(None)
    meta_params = eqx.filter(optimizer, eqx.is_inexact_array)
    keys = jax.random.split(key, len(groups))
    states = tuple(
        training.estimator.init(optimizer, group, group_key)
        for group, group_key in zip(groups, keys, strict=True)
    )
    meta_opt_state = training.meta_optimizer().init(meta_params)
    return MetaState(optimizer, meta_opt_state, states, jnp.zeros((), jnp.int32))


def meta_train(
    training: MetaTraining, groups: Sequence[Group], meta_state: MetaState
) -> Iterator[tuple[MetaState, Metrics]]:
    """Yield the state and the metrics after each meta-step, without end.

    Neither waits for the device nor logs; the caller slices, logs, checkpoints and stops.
    Metrics are named by level: "meta/loss" (weighted mean over the groups),
    "meta/loss/<family>", "meta/gradient_norm", and the estimator's counts summed over the
    groups, such as "meta/nonfinite" (problems left out).

    **Example**

    ```python
    for meta_state, metrics in itertools.islice(meta_train(training, groups, meta_state), 10):
        print(int(meta_state.meta_step), float(metrics["meta/loss"]))
    ```
    """
    while True:
        meta_state, metrics = meta_step(training, tuple(groups), meta_state)
        yield meta_state, metrics


@eqx.filter_jit
def meta_step(
    training: MetaTraining, groups: tuple[Group, ...], meta_state: MetaState
) -> tuple[MetaState, Metrics]:
    """Take one meta-step over all groups, as one compiled program.

    **Example**

    ```python
    meta_state, metrics = meta_step(training, groups, meta_state)
    ```
    """
    estimates = [
        training.estimator.estimate(meta_state.optimizer, group, state)
        for group, state in zip(groups, meta_state.estimator_states, strict=True)
    ]
    weights = _group_weights(groups)
    gradient = jax.tree.map(
        lambda *leaves: sum(w * leaf for w, leaf in zip(weights, leaves, strict=True)),
        *[estimate.gradient for estimate in estimates],
    )
    meta_params, static = eqx.partition(meta_state.optimizer, eqx.is_inexact_array)
    # optax.adam itself adds floats and whole numbers, which a program may have forbidden.
    with jax.numpy_dtype_promotion("standard"):
        updates, meta_opt_state = training.meta_optimizer().update(
            gradient, meta_state.meta_opt_state, meta_params
        )
    new_state = MetaState(
        eqx.combine(optax.apply_updates(meta_params, updates), static),
        meta_opt_state,
        tuple(estimate.state for estimate in estimates),
        meta_state.meta_step + 1,
    )
    metrics = _metrics(groups, weights, estimates)
    return new_state, metrics | {"meta/gradient_norm": optax.tree.norm(gradient)}


def _group_weights(groups: Sequence[Group]) -> list[Float[Array, ""]]:
    """Return each group's share of the ensemble's weight."""
    totals = [group.weights.sum() for group in groups]
    return [total / sum(totals) for total in totals]


def _metrics(
    groups: Sequence[Group], weights: Sequence[Array], estimates: Sequence[Estimate]
) -> Metrics:
    metrics = {
        f"meta/loss/{group.family}": estimate.meta_loss
        for group, estimate in zip(groups, estimates, strict=True)
    }
    losses = [estimate.meta_loss for estimate in estimates]
    metrics["meta/loss"] = sum(
        (w * loss for w, loss in zip(weights, losses, strict=True)), jnp.zeros(())
    )
    for name in estimates[0].metrics:
        metrics[name] = sum((estimate.metrics[name] for estimate in estimates), jnp.zeros(()))
    return metrics
