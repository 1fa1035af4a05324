"""What changes in meta-training, and is kept in checkpoints."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key, PyTree

from lopt.architectures import LearnedOptimizer
from lopt.ensembles import Group
from lopt.meta_gradients.vectors import vectors
from lopt.meta_training.devices import divided, on_all
from lopt.meta_training.settings import MetaTraining


class MetaState(eqx.Module):
    """Everything that changes in meta-training; enough to go on as if nothing had happened."""

    optimizer: LearnedOptimizer
    # Of the meta-params as one vector.
    meta_opt_state: optax.OptState
    # One for each group of the ensemble.
    estimator_states: tuple[PyTree[Any], ...]
    meta_step: Int[Array, ""]
    # What is left of the meta-learning rate after rolling back.
    rate_scale: Float[Array, ""]
    # A running mean of the squared norm of each group's meta-gradient, 0 before the first.
    square_norms: tuple[Float[Array, ""], ...]


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
    keys = jax.random.split(key, len(groups))
    states = tuple(
        training.estimator.init(optimizer, group, group_key)
        for group, group_key in zip(groups, keys, strict=True)
    )
    return MetaState(
        optimizer=optimizer,
        meta_opt_state=training.meta_optimizer().init(vectors(optimizer).meta_params),
        estimator_states=states,
        meta_step=jnp.zeros((), jnp.int32),
        rate_scale=jnp.ones((), jnp.float32),
        square_norms=tuple(jnp.zeros((), jnp.float32) for _ in groups),
    )


def placed(meta_state: MetaState, mesh: Mesh | None) -> MetaState:
    """Return the state with its trajectories divided among the devices of a mesh.

    **Example**

    ```python
    meta_state = placed(meta_state, problem_mesh())
    ```
    """
    everywhere = on_all(dataclasses.replace(meta_state, estimator_states=()), mesh)
    states = divided(meta_state.estimator_states, mesh)
    return dataclasses.replace(everywhere, estimator_states=states)
