"""What all estimators share: unrolls of many trajectories, and what is scored along them."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from lopt.architectures import LearnedOptimizer
from lopt.ensembles import Group
from lopt.meta_gradients.lengths import ExponentialLengths, TrajectoryLengths
from lopt.meta_gradients.places import Places, Renewal, renewal
from lopt.meta_objectives import AverageLogLoss, MetaObjective
from lopt.unroll import Trajectory, unroll


class Unrolled(NamedTuple):
    """What is known of one trajectory after an unroll."""

    trajectory: Trajectory
    meta_loss: Float[Array, ""]
    last_loss: Float[Array, ""]
    remembered: Float[Array, " inner_steps"]


class Unrolling(eqx.Module):
    """Settings of the inner trainings, all static: how many, how long, and how they are scored.

    `problems` trajectories of a group run side by side, each on an entry drawn by weight with
    random constants drawn anew, each of its own length, `steps` inner steps at a time. One
    whose loss is `explosion_factor` times the initial one at the end of an unroll has
    exploded: it still counts in the estimate, and begins anew after it.

    `rematerialise` saves memory in backpropagation and costs time.

    Raises `ValueError` for numbers that are not positive.

    **Example**

    ```python
    unrolling = Unrolling(steps=20, problems=24, objective=ClippedMeanLoss())
    estimator = TruncatedBackprop(unrolling)
    ```
    """

    steps: int = eqx.field(static=True, default=20)
    problems: int = eqx.field(static=True, default=24)
    lengths: TrajectoryLengths = ExponentialLengths()
    objective: MetaObjective = AverageLogLoss()
    explosion_factor: float = eqx.field(static=True, default=1e6)
    rematerialise: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        for name in ("steps", "problems", "explosion_factor"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be positive.")

    def renew(
        self, places: Places, group: Group, key: Key[Array, ""], meta_step: Int[Array, ""]
    ) -> Renewal:
        """Draw what begins in the places that are finished."""
        return renewal(places, group, self.lengths, self.steps, key, meta_step)

    def unroll(
        self,
        optimizer: LearnedOptimizer,
        trajectory: Trajectory,
        second_derivatives: bool = True,
        *,
        forward_mode: bool = False,
    ) -> Unrolled:
        """Unroll one trajectory, and score it; to be differentiated in forward mode if so said."""
        after, remembered = unroll(
            optimizer,
            trajectory,
            self.steps,
            second_derivatives,
            remember=self.objective.remember,
            rematerialise=self.rematerialise,
            forward_mode=forward_mode,
        )
        return self.scored(after, remembered)

    def scored(self, after: Trajectory, remembered: Float[Array, " inner_steps"]) -> Unrolled:
        """Score an unroll at whose end the trajectory is.

        One that begins with a loss that is not finite has no meta-loss: relative to infinity
        every loss would be perfect.
        """
        meta_loss, last_loss = self.objective.score(remembered, after)
        meta_loss = jnp.where(jnp.isfinite(after.initial_loss), meta_loss, jnp.nan)
        return Unrolled(after, meta_loss, last_loss, remembered)

    def exploded(
        self,
        last_losses: Float[Array, "problems *pair"],
        initial_losses: Float[Array, " problems"],
    ) -> Bool[Array, " problems"]:
        """Tell the problems of which a trajectory's loss has become too large."""
        worst = last_losses.reshape(last_losses.shape[0], -1).max(1)
        return worst > self.explosion_factor * (initial_losses + 1e-6)
