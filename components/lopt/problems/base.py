"""What a problem is: something to be minimised by an optimizer that is being trained.

The paper's word (Wichrowska et al. 2017, section 4); its code has the same idea in
`problems/problem_generator.py`.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

Params: TypeAlias = PyTree[Array]
Batch: TypeAlias = PyTree[Array]


class Problem(eqx.Module):
    """One function to minimise, as a pytree: stack the leaves of many, `vmap`, and there are many.

    A subclass is written for one problem and one vector of params; batching is left to
    `vmap`. Everything that differs between two draws of one problem is an array leaf,
    everything that fixes shapes or code is a static field, so that two problems share one
    compiled program exactly when their tree structures and leaf shapes are equal.

    `loss` is what is really to be minimised and is free of the noise that the optimizer has
    to live with: noise enters by `sample_batch` (minibatches) and `perturb_gradient`.

    **Example**

    ```python
    import jax
    from lopt.problems import Quadratic

    problem = Quadratic(dimensions=20, key=jax.random.key(0))
    params = problem.init(jax.random.key(1))
    loss = problem.loss(params, problem.full_batch(), jax.random.key(2))
    ```
    """

    @abstractmethod
    def init(self, key: Key[Array, ""]) -> Params:
        """Draw the params at which a trajectory begins (a pytree of float32 arrays)."""

    @abstractmethod
    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        """Return the loss, a float32 scalar.

        `batch` is what `sample_batch` or `full_batch` gave; `key` is for losses that are
        random themselves (dropout, say) and is ignored by the others.
        """

    @abstractmethod
    def draw(self, key: Key[Array, ""]) -> "Problem":
        """Return the same kind of problem with its random constants drawn anew.

        The result has the same tree structure, shapes and dtypes, and the function can be
        traced, so meta-training draws problems inside a compiled program. A problem without
        random constants returns itself.
        """

    @classmethod
    @abstractmethod
    def examples(cls) -> Sequence["Problem"]:
        """Return small instances on which the contract tests run; at least one."""

    def sample_batch(self, key: Key[Array, ""]) -> Batch:
        """Draw the data of one inner step; `None` for a problem without data."""
        del key
        return None

    def full_batch(self) -> Batch:
        """Return all the data, on which the meta-loss is measured; `None` without data."""
        return None

    def validation_batch(self) -> Batch:
        """Return data that no inner step is taken on; the training data if there are no others.

        Minibatches must not hold any of it, so that the loss on it tells how well the params
        do on what they have not seen.
        """
        return self.full_batch()

    def perturb_gradient(self, gradient: Params, key: Key[Array, ""]) -> Params:
        """Return what the optimizer gets to see of a gradient; the gradient itself by default."""
        del key
        return gradient

    @property
    def nonnegative(self) -> bool:
        """Whether the loss over all data is never below 0, as its logarithm needs it to be."""
        return True

    def valid(self) -> Params | None:
        """Tell the params from padding: booleans like them, or `None` where nothing is padded.

        Padding lets problems of several sizes share one program. Params that are padding
        begin at 0, are not looked at by `loss`, and optimizers leave them out of what they
        compute over a tensor.
        """
        return None


def loss_and_gradient(
    problem: Problem, params: Params, key: Key[Array, ""], batch: Batch = None
) -> tuple[Float[Array, ""], Params]:
    """Take the minibatch loss and the gradient that an optimizer is shown at `params`.

    The minibatch is `batch` if that is given, and drawn by the problem if not.

    **Example**

    ```python
    loss, gradient = loss_and_gradient(problem, params, jax.random.key(0))
    ```
    """
    batch_key, loss_key, noise_key = jax.random.split(key, 3)
    batch = problem.sample_batch(batch_key) if batch is None else batch
    loss, gradient = jax.value_and_grad(problem.loss)(params, batch, loss_key)
    return loss, _without_padding(problem.perturb_gradient(gradient, noise_key), problem.valid())


def _without_padding(gradient: Params, valid: Params | None) -> Params:
    if valid is None:
        return gradient
    return jax.tree.map(
        lambda leaf, is_real: jnp.where(is_real, leaf, jnp.zeros_like(leaf)), gradient, valid
    )
