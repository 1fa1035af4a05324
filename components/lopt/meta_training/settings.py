"""The settings of a meta-training."""

import dataclasses
import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from lopt.ensembles import Group
from lopt.meta_gradients import MetaGradient, TruncatedBackprop
from lopt.meta_gradients.combining import check_clip_norm
from lopt.meta_training.schedule import Schedule


class MetaTraining(eqx.Module):
    """The settings of a meta-training: all static, so that equal settings share a program.

    The meta-optimizer is Adam on the gradient clipped to the global norm `clip_norm`, with a
    learning rate that rises linearly for `warmup_steps` and then falls to a tenth as a cosine
    until `decay_steps`. The paper and its code have RMSProp at 1e-6, which needs tens of
    millions of meta-steps (PAPER.md sections 4.5 and 7.3).

    A meta-step works on `groups_per_step` groups of the ensemble, on all of them by default;
    with fewer, bundles of groups take turns (`lopt.meta_training.schedule`). One compiled program
    takes up to `steps_per_dispatch` meta-steps without the host.

    `equal_groups` divides each group's meta-gradient by a running mean of its norm before it
    is weighted, so that no family drowns the others.

    `compile_quickly` compiles programs with problems that are not small for a CPU in two thirds
    of the time (`QUICK_TO_COMPILE`), to the same numbers up to rounding.

    Raises `ValueError` if `warmup_steps` is not less than `decay_steps`, a count or `clip_norm`
    is not positive, or `meta_learning_rate` is negative or not finite.

    **Example**

    ```python
    training = MetaTraining(meta_learning_rate=3e-3, decay_steps=1000)
    meta_state = init_meta_state(training, optimizer, groups, jax.random.key(0))
    for meta_state, metrics in meta_train(training, groups, meta_state, last_meta_step=1000):
        print(metrics.rows()[-1]["meta/loss"])
    ```
    """

    estimator: MetaGradient = TruncatedBackprop()
    meta_learning_rate: float = eqx.field(static=True, default=3e-3)
    warmup_steps: int = eqx.field(static=True, default=20)
    decay_steps: int = eqx.field(static=True, default=1000)
    clip_norm: float = eqx.field(static=True, default=1.0)
    groups_per_step: int | None = eqx.field(static=True, default=None)
    steps_per_dispatch: int = eqx.field(static=True, default=10)
    equal_groups: bool = eqx.field(static=True, default=False)
    compile_quickly: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        if not 0 <= self.warmup_steps < self.decay_steps:
            raise ValueError(
                f"warmup_steps is {self.warmup_steps}, but must be at least 0 and less than "
                f"decay_steps, which is {self.decay_steps}."
            )
        check_clip_norm("clip_norm", self.clip_norm)
        if not 0 <= self.meta_learning_rate < math.inf:
            raise ValueError(
                f"meta_learning_rate is {self.meta_learning_rate}, but must be at least 0 and "
                "finite."
            )
        for name in ("groups_per_step", "steps_per_dispatch"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise ValueError(f"{name} is {count}, but must be at least 1.")

    def meta_optimizer(self) -> optax.GradientTransformationExtraArgs:
        """Return what makes a step of unit length of the meta-gradient, as optax knows it."""
        return optax.chain(optax.clip_by_global_norm(self.clip_norm), optax.scale_by_adam())

    def of_program(self) -> "MetaTraining":
        """Return the settings without those that a program of meta-steps is given as numbers.

        So that another meta-learning rate, or as many meta-steps as one likes, compile no
        meta-steps anew.

        **Example**

        ```python
        MetaTraining(meta_learning_rate=1e-3).of_program() == MetaTraining().of_program()
        ```
        """
        return dataclasses.replace(
            self,
            meta_learning_rate=1.0,
            warmup_steps=0,
            decay_steps=1,
            groups_per_step=None,
            compile_quickly=False,
        )

    def meta_learning_rate_at(self, meta_step: Int[Array, ""]) -> Float[Array, ""]:
        """Return the meta-learning rate of the meta-step after `meta_step` others."""
        schedule = optax.warmup_cosine_decay_schedule(
            init_value=0.1 * self.meta_learning_rate,
            peak_value=self.meta_learning_rate,
            warmup_steps=self.warmup_steps,
            decay_steps=self.decay_steps,
            end_value=0.1 * self.meta_learning_rate,
        )
        # optax itself adds floats and whole numbers, which a program may have forbidden.
        with jax.numpy_dtype_promotion("standard"):
            return jnp.asarray(schedule(meta_step), jnp.float32)

    def schedule(self, groups: Sequence[Group]) -> Schedule:
        """Return which groups each meta-step works on."""
        weights = tuple(float(group.weights.sum()) for group in groups)
        return Schedule(weights, self.groups_per_step or len(weights), self.steps_per_dispatch)
