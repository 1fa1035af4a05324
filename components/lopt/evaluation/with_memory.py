"""Problems whose networks remember something beside their params, and targets of such problems.

The running averages of batch normalization are what this is for (Ioffe and Szegedy 2015,
https://arxiv.org/abs/1502.03167): they come of the training, but not by the gradient, so the
optimizer never sees them. Who trains carries the memory along, as it carries the params.
"""

from abc import abstractmethod
from typing import TypeAlias

import jax
from jaxtyping import Array, Float, Key, PyTree

from lopt.evaluation.target import Target
from lopt.problems.base import Batch, Params, Problem

Memory: TypeAlias = PyTree[Array]


class WithMemory(Problem):
    """A problem that remembers: it begins with `init_memory`, each inner step gives it a new one.

    There are two modes. In training, where the gradient is taken, a network goes by the
    minibatch that it sees: `loss_and_memory`, and `loss` is that without the memory. In
    inference, where results are measured, it goes by what it remembers: `loss_with_memory`.
    The memory has one structure, shapes and dtypes, before and after any step.

    **Example**

    ```python
    memory = problem.init_memory()
    loss, gradient, memory = loss_gradient_and_memory(problem, params, memory, key)
    measured = problem.loss_with_memory(params, memory, problem.full_batch(), key)
    ```
    """

    @abstractmethod
    def init_memory(self) -> Memory:
        """Return the memory before any step, the same for all seeds."""

    @abstractmethod
    def loss_and_memory(
        self, params: Params, memory: Memory, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], Memory]:
        """Return the training mode's loss, a float32 scalar, and the memory after this batch.

        The memory that goes in changes the one that comes out and nothing of the loss.
        """

    @abstractmethod
    def loss_with_memory(
        self, params: Params, memory: Memory, batch: Batch, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Return the inference mode's loss, a float32 scalar: what is recorded and reported."""

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        return self.loss_and_memory(params, self.init_memory(), batch, key)[0]


class TargetWithMemory(Target):
    """A target whose problems are `WithMemory`, so that what is measured at the end needs both.

    Whoever trains asks for `metrics_with_memory`, with the memory that the training ends with.
    `metrics` is the same at the memory that a training begins with.
    """

    @abstractmethod
    def draw(self, key: Key[Array, ""]) -> WithMemory:
        """Return the problem of one seed, as `Target.draw` does."""

    @abstractmethod
    def metrics_with_memory(
        self, problem: WithMemory, params: Params, memory: Memory
    ) -> dict[str, Float[Array, ""]]:
        """Return what is measured at the end, float32 scalars by name, in inference mode."""

    def metrics(self, problem: Problem, params: Params) -> dict[str, Float[Array, ""]]:
        if not isinstance(problem, WithMemory):
            raise TypeError(
                f"Target {self.name!r} measures problems with a memory, but received a "
                f"{type(problem).__name__}. Hand over what its draw() returns."
            )
        return self.metrics_with_memory(problem, params, problem.init_memory())


def loss_gradient_and_memory(
    problem: WithMemory,
    params: Params,
    memory: Memory,
    key: Key[Array, ""],
    batch: Batch = None,
) -> tuple[Float[Array, ""], Params, Memory]:
    """Take the minibatch loss, the gradient that an optimizer is shown and the next memory.

    As `lopt.problems.loss_and_gradient`, with the same minibatch and noise for the same key.

    **Example**

    ```python
    loss, gradient, memory = loss_gradient_and_memory(problem, params, memory, key)
    ```
    """
    batch_key, loss_key, noise_key = jax.random.split(key, 3)
    batch = problem.sample_batch(batch_key) if batch is None else batch
    value_and_gradient = jax.value_and_grad(problem.loss_and_memory, has_aux=True)
    (loss, memory), gradient = value_and_gradient(params, memory, batch, loss_key)
    return loss, problem.perturb_gradient(gradient, noise_key), memory
