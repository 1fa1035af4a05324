"""What meta-training minimises: one number for an unroll."""

from abc import abstractmethod
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lopt.unroll import Trajectory, current_loss

Data = Literal["training", "validation"]


class Scored(NamedTuple):
    """The meta-loss of an unroll, and the problem's loss at its end."""

    meta_loss: Float[Array, ""]
    last_loss: Float[Array, ""]


class MetaObjective(eqx.Module):
    """A way to score an unroll; all fields are static.

    `remember` is called after each inner step, and what it returns, stacked, goes into
    `score` at the end of the unroll. Losses are those at the evaluation params. `data` says
    over which data they are: what the inner training is done on, or what it never sees (the
    former for a problem without any).

    Raises `ValueError` for `data` that are neither.

    **Example**

    ```python
    objective = AverageLogLoss(data="validation")
    trajectory, losses = unroll(optimizer, trajectory, 20, remember=objective.remember)
    meta_loss, last_loss = objective.score(losses, trajectory)
    ```
    """

    data: Data = eqx.field(static=True, default="training", kw_only=True)

    def __check_init__(self) -> None:
        if self.data not in ("training", "validation"):
            raise ValueError(f"data is {self.data!r}, but must be 'training' or 'validation'.")

    @abstractmethod
    def remember(self, trajectory: Trajectory) -> Float[Array, ""]:
        """Return what is needed of the trajectory as it is after a step."""

    @abstractmethod
    def score(self, remembered: Float[Array, " inner_steps"], trajectory: Trajectory) -> Scored:
        """Return the meta-loss of an unroll at whose end the trajectory is."""

    def _loss(self, trajectory: Trajectory) -> Float[Array, ""]:
        if self.data == "training":
            return current_loss(trajectory)
        return current_loss(trajectory, trajectory.problem.validation_batch())


class AverageLogLoss(MetaObjective):
    """The mean logarithm of the loss, relative to the loss at the trajectory's beginning.

    The logarithm rewards exact convergence: each factor of ten counts the same. Wichrowska
    et al. 2017, eq. (14). Losses after steps 1 to T are scored; the released code scores 0
    to T-1, and 0 twice (PAPER.md section 4.1).

    `numerator_epsilon` is the paper's form, log((f + e) / (f0 + e)); without it the released
    code's, log(f / (f0 + e) + e). Losses must not be negative.

    **Example**

    ```python
    meta_loss, last_loss = AverageLogLoss().score(jnp.array([1.0, 0.1]), trajectory)
    ```
    """

    epsilon: float = eqx.field(static=True, default=1e-6)
    numerator_epsilon: bool = eqx.field(static=True, default=False)

    def remember(self, trajectory: Trajectory) -> Float[Array, ""]:
        return self._loss(trajectory)

    def score(self, remembered: Float[Array, " inner_steps"], trajectory: Trajectory) -> Scored:
        relative = self.of(remembered, trajectory.initial_loss)
        return Scored(relative.mean(), remembered[-1])

    def of(self, losses: Float[Array, " _"], initial_loss: Float[Array, ""]) -> Float[Array, " _"]:
        """Return the logarithm of each loss relative to the initial one.

        **Example**

        ```python
        AverageLogLoss().of(jnp.array([1.0, 0.1]), jnp.array(10.0))  # -2.3, -4.6
        ```
        """
        if self.numerator_epsilon:
            return jnp.log((losses + self.epsilon) * _inverse(initial_loss, self.epsilon))
        return jnp.log(losses * _inverse(initial_loss, self.epsilon) + self.epsilon)


class ClippedMeanLoss(MetaObjective):
    """The mean loss in units of the initial one, none counted for more than `ceiling`.

    For networks, whose losses do not go to zero (PAPER.md section 7.3, item 4). What lies
    above the ceiling has no gradient.

    Raises `ValueError` if `ceiling` is not positive.

    **Example**

    ```python
    meta_loss, last_loss = ClippedMeanLoss(ceiling=2.0).score(losses, trajectory)
    ```
    """

    ceiling: float = eqx.field(static=True, default=2.0)

    def __check_init__(self) -> None:
        if not self.ceiling > 0:
            raise ValueError(f"ceiling is {self.ceiling}, but must be positive.")

    def remember(self, trajectory: Trajectory) -> Float[Array, ""]:
        return self._loss(trajectory)

    def score(self, remembered: Float[Array, " inner_steps"], trajectory: Trajectory) -> Scored:
        relative = remembered * _inverse(trajectory.initial_loss)
        return Scored(jnp.minimum(relative, self.ceiling).mean(), remembered[-1])


class FinalLoss(MetaObjective):
    """The logarithm of the loss at an unroll's end, averaged over fresh minibatches.

    Relative to the loss at the trajectory's beginning. VeLO is trained on the final loss
    over 100 batches (Metz et al. 2022, https://arxiv.org/abs/2211.09760; PAPER.md section
    7.3, item 4). With `data="validation"` it is the loss over all of those data instead.
    Minibatches may have losses below 0 where all the data have not; a mean below 0 counts as 0.

    Raises `ValueError` if `batches` is less than 1.

    **Example**

    ```python
    meta_loss, last_loss = FinalLoss(batches=10).score(nothing, trajectory)
    ```
    """

    batches: int = eqx.field(static=True, default=10)
    epsilon: float = eqx.field(static=True, default=1e-6)

    def __check_init__(self) -> None:
        if self.batches < 1:
            raise ValueError(f"batches is {self.batches}, but must be at least 1.")

    def remember(self, trajectory: Trajectory) -> Float[Array, ""]:
        del trajectory
        return jnp.zeros((), jnp.float32)

    def score(self, remembered: Float[Array, " inner_steps"], trajectory: Trajectory) -> Scored:
        del remembered
        loss = self._final(trajectory)
        relative = jnp.maximum(loss, 0.0) * _inverse(trajectory.initial_loss)
        return Scored(jnp.log(relative + self.epsilon), loss)

    def _final(self, trajectory: Trajectory) -> Float[Array, ""]:
        if self.data == "validation":
            return self._loss(trajectory)
        # Beyond the keys of all steps, so that no batch is one that was trained on.
        key = jax.random.fold_in(jax.random.fold_in(trajectory.key, 2**31 - 1), 0)
        keys = jax.random.split(jax.random.fold_in(key, trajectory.inner_step), self.batches)

        def loss_on_fresh_batch(key: Array) -> Float[Array, ""]:
            return current_loss(trajectory, trajectory.problem.sample_batch(key))

        return jax.vmap(loss_on_fresh_batch)(keys).mean()


def _inverse(initial_loss: Float[Array, ""], epsilon: float = 1e-6) -> Float[Array, ""]:
    """Return what to multiply losses by, so as to divide them by the initial one.

    XLA multiplies in some programs where a division is asked for, and so rounds otherwise there:
    for four problems on each of two devices it divided, for eight on one it did not.
    """
    return 1.0 / (initial_loss + epsilon)
