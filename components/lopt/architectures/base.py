"""What a learned optimizer is: an optax transformation whose weights are a pytree."""

import dataclasses
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PyTree

from lopt.architectures.learning_rates import DEFAULT_LEARNING_RATE, InitialLearningRate
from lopt.provenance import Provenance

Optimizer = TypeVar("Optimizer", bound="LearnedOptimizer")


class LearnedOptimizer(eqx.Module):
    """A rule for training, with meta-params that were learned themselves.

    The array leaves are the meta-params; the static fields (but for `provenance`) are the
    hyper-parameters, and `__init__` takes every one of them by name, so that an optimizer
    can be built again from `hyper_parameters()`.

    **Example**

    ```python
    optimizer = lopt.load("models:/learned-optimizer@champion")
    transformation = optimizer.transformation()  # where optax.adam(1e-3) stood
    opt_state = transformation.init(params)
    ```
    """

    version: ClassVar[int] = 1
    """What the meta-params mean; raised when an old release's would mean something else."""
    presets: ClassVar[tuple[str, ...]] = ("release",)
    """Class methods that take a key and give an optimizer, the first by default."""
    needs_params: ClassVar[bool] = False
    """Whether `update` has to be given the params, beside their gradient."""
    provenance: Provenance | None = eqx.field(static=True, default=None, kw_only=True)

    @abstractmethod
    def transformation(
        self, initial_learning_rate: InitialLearningRate = DEFAULT_LEARNING_RATE
    ) -> optax.GradientTransformationExtraArgs:
        """Return the optimizer as optax knows it.

        `initial_learning_rate` is where the learned learning rates begin: one number for
        all, or a `RandomLearningRate` to draw them as meta-training does; or nothing, where
        the step length is itself a meta-param.

        `update` takes the extra argument `valid`, booleans like the params: what is False
        is padding, and the others are updated as if it were not there. What update padding
        itself gets is not specified.
        """

    @classmethod
    @abstractmethod
    def examples(cls) -> Sequence["LearnedOptimizer"]:
        """Return instances on which the contract tests run, every preset among them."""

    def hyper_parameters(self) -> dict[str, Any]:
        """Return what `__init__` needs to build this optimizer but for the meta-params."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.metadata.get("static", False) and field.name != "provenance"
        }

    def with_provenance(self: Optimizer, provenance: Provenance | None) -> Optimizer:
        """Return the same optimizer with another record of where it came from."""
        # `dataclasses.replace` would call `__init__`, which draws new meta-params.
        leaves, structure = jax.tree.flatten(self)
        changed: Optimizer = jax.tree.unflatten(structure, leaves)
        vars(changed).pop("provenance", None)
        if provenance is not None:
            object.__setattr__(changed, "provenance", provenance)
        return changed


class ParamsOffset(NamedTuple):
    """What to add to the params to get the params that the loss is measured at.

    An optimizer with attention lets the user hold the attended location (phi) and keeps
    `theta - phi` in its state under this type; `eval_params` finds it by type, wherever
    other transformations have put it. Leaves have the shape of the params, in float32.
    """

    offset: PyTree[Array]


def eval_params(opt_state: optax.OptState, params: optax.Params) -> optax.Params:
    """Return the params to evaluate and to save: theta, where the params held are phi.

    For an optimizer without attention, and for any other optax state, these are the params
    themselves. Works bare and inside `optax.chain`, `masked`, `multi_transform`,
    `MultiSteps` and `inject_hyperparams`. After `optax.contrib.schedule_free_eval_params`,
    which fails in several of these; Wichrowska et al. 2017, section 3.2.1.

    **Example**

    ```python
    updates, opt_state = transformation.update(gradient, opt_state, params)
    params = optax.apply_updates(params, updates)
    test_loss = loss(lopt.eval_params(opt_state, params))
    ```
    """

    def is_offset(node: object) -> bool:
        return isinstance(node, ParamsOffset)

    for node in jax.tree.leaves(opt_state, is_leaf=is_offset):
        if is_offset(node):
            params = _add(node.offset, params)
    return params


def _add(offset: PyTree[Array], params: optax.Params) -> optax.Params:
    def is_masked(node: object) -> bool:
        return isinstance(node, optax.MaskedNode)

    def add(one_offset: Any, param: Any) -> Any:
        if is_masked(one_offset):
            return param
        array = jnp.asarray(param)
        return (array.astype(one_offset.dtype) + one_offset).astype(array.dtype)

    added: optax.Params = jax.tree.map(add, offset, params, is_leaf=is_masked)
    return added
