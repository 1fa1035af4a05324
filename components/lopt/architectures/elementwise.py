"""From any params' gradient to numbers to compute with, and from steps to updates like it."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from lopt.architectures.blocks import blocks_of
from lopt.architectures.features import clean
from lopt.architectures.learning_rates import InitialLearningRate, check_initial_learning_rate


def scalar_by_scalar(
    init: Callable[[optax.Params], Any],
    update: Callable[[optax.Updates, Any], tuple[Any, Any]],
    initial_learning_rate: InitialLearningRate,
) -> optax.GradientTransformationExtraArgs:
    """Return the transformation of a rule to which the gradient and its own state are enough.

    Such a rule needs no params, and as no scalar learns anything of another, no `valid`.

    Raises `ValueError` for an initial learning rate that is not positive and finite; its
    `init` raises `TypeError` for params that are not of a floating-point type.

    **Example**

    ```python
    def update(updates, state):
        return updates_like(updates, clean_gradient(updates)), state

    transformation = scalar_by_scalar(lambda params: optax.EmptyState(), update, 1e-3)
    ```
    """
    check_initial_learning_rate(initial_learning_rate)

    def checked_init(params: optax.Params) -> Any:
        check_params(params)
        return init(params)

    def update_alone(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, Any]:
        del params, extra_args
        return update(updates, state)

    return optax.GradientTransformationExtraArgs(checked_init, update_alone)


def check_params(params: optax.Params) -> None:
    """Raise `TypeError`, naming the leaf, for params that are not of a floating-point type.

    **Example**

    ```python
    check_params({"weights": jnp.ones((4, 5)), "nothing": None})
    ```
    """
    blocks_of(params)


def clean_gradient(updates: optax.Updates) -> PyTree[Array]:
    """Return the gradient in float32: NaN and infinite entries are zero, others cut to +-1e15.

    **Example**

    ```python
    clean_gradient({"number": 1.0, "array": jnp.full((2,), jnp.nan)})
    ```
    """
    # Outside of a compiled program a leaf may be a Python number.
    return jax.tree.map(lambda leaf: clean(jnp.asarray(leaf)), updates)


def valid_like(updates: optax.Updates, valid: PyTree[Any] | None) -> PyTree[Array] | None:
    """Return `valid`, as booleans, for those leaves that the gradient has.

    `optax.masked` and `optax.multi_transform` take leaves from gradient and params, but hand
    extra arguments on whole.

    Raises `ValueError`, naming the leaf, where the two have not one shape.

    **Example**

    ```python
    valid_like({"w": jnp.ones(2), "b": optax.MaskedNode()}, {"w": [True, False], "b": True})
    ```
    """
    if valid is None:
        return None

    def is_absent(node: object) -> bool:
        return node is None or isinstance(node, optax.MaskedNode)

    def pick(path: Any, update: Any, is_real: Any) -> Any:
        if is_absent(update):
            return update
        real = jnp.asarray(is_real, bool)
        if real.shape != np.shape(update):
            raise ValueError(
                f"valid has the shape {real.shape} at the leaf {jax.tree_util.keystr(path)}, where "
                f"the gradient has {np.shape(update)}, but both must have one shape: it says of "
                "every scalar whether it is one or padding."
            )
        return real

    return jax.tree.map_with_path(pick, updates, valid, is_leaf=is_absent)


@jax.custom_jvp
def cut(largest: Float[Array, "..."] | float, values: Float[Array, "..."]) -> Array:
    """Clip values to what is at most the largest, and at least minus that.

    Whoever differentiates keeps one truth value for each, where `jnp.clip` makes it two floats.

    **Example**

    ```python
    cut(2.0, jnp.array([-3.0, 1.0]))  # -2, 1
    ```
    """
    return jnp.clip(values, -largest, largest)


@cut.defjvp
def _cut_jvp(primals: tuple[Any, Array], tangents: tuple[Any, Array]) -> tuple[Array, Array]:
    largest, values = primals
    return cut(largest, values), jnp.where(jnp.abs(values) <= largest, tangents[1], 0.0)


def flat_tensors(tree: PyTree[Array]) -> list[Array]:
    """Return the leaves that have elements, each as one axis.

    **Example**

    ```python
    flat_tensors({"matrix": jnp.ones((2, 3)), "empty": jnp.ones((0, 3))})  # one of [6]
    ```
    """
    return [leaf.reshape(-1) for leaf in jax.tree.leaves(tree) if leaf.size]


def updates_like(updates: optax.Updates, steps: PyTree[Array]) -> Any:
    """Return minus the steps, each in the shape and dtype of its leaf of the gradient.

    **Example**

    ```python
    steps = jax.tree.map(lambda leaf: 0.1 * leaf, clean_gradient(gradient))
    updates = updates_like(gradient, steps)  # those of optax.sgd(0.1)
    ```
    """
    return jax.tree.map(lambda leaf, step: _update_like(jnp.asarray(leaf), step), updates, steps)


def updates_of_tensors(updates: optax.Updates, steps: Sequence[Array]) -> Any:
    """Do what `updates_like` does with steps for only the leaves that have elements.

    **Example**

    ```python
    steps = [0.1 * tensor for tensor in flat_tensors(clean_gradient(gradient))]
    updates = updates_of_tensors(gradient, steps)  # those of optax.sgd(0.1)
    ```
    """
    leaves, structure = jax.tree.flatten(updates)
    remaining = iter(steps)
    every = [next(remaining) if np.size(leaf) else leaf for leaf in leaves]
    return updates_like(updates, jax.tree.unflatten(structure, every))


def _update_like(leaf: Float[Array, " *shape"], step: Float[Array, "..."]) -> Array:
    """Return minus the float32 step in the leaf's shape and dtype, within the dtype's range."""
    largest = float(jnp.finfo(leaf.dtype).max)
    return cut(largest, -step).reshape(leaf.shape).astype(leaf.dtype)
