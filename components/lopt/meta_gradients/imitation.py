"""Imitation of a teacher, beside any other estimator.

Chen et al. 2020, "Training Stronger Baselines for Learning to Optimize",
https://arxiv.org/abs/2010.09089, section 3.2; PAPER.md section 7.2.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, PyTree

from lopt.architectures import LearnedOptimizer
from lopt.ensembles import Group
from lopt.meta_gradients.base import Estimate, Faults, MetaGradient, Metrics
from lopt.meta_gradients.combining import check_clip_norm
from lopt.meta_gradients.persistent_es import PersistentES
from lopt.meta_gradients.places import Places, Renewal, renewal
from lopt.meta_gradients.teachers import TEACHERS, LikeTheTeacher, Taught
from lopt.meta_gradients.truncated_backprop import TruncatedBackprop, TruncatedBackpropState
from lopt.meta_gradients.unrolling import Unrolling


class ImitationState(NamedTuple):
    """The other estimator's state, the trajectories that the teacher drives, and the key.

    The key is the other estimator's: what it draws does not depend on who is beside it.
    """

    estimator: PyTree[Any]
    places: Places
    key: Key[Array, ""]


class Imitation(MetaGradient):
    """Another estimator's meta-gradient, and `weight` times that of differing from a teacher.

    In every place a second trajectory is in work, which the `teacher`'s updates drive at the
    rate `learning_rate`. The learned optimizer is shown what the teacher is and proposes
    updates that nobody makes; how far they are from the teacher's, `relative_distance` as a
    mean over steps and problems, is what the second part descends. It is reported as the mean
    "imitation/loss"; the meta-loss stays the other estimator's. The second part is estimated
    by `TruncatedBackprop`: biased by what an unroll does to hidden states beyond its end, but
    by nothing else, for where the trajectory goes depends on no meta-param.

    The published code drives every tenth meta-iteration by Adam at 0.01, in place of the
    others, and descends the squared distance. Here both parts are in each estimate, and a
    problem counts the same in whatever unit its params are.

    `unrolling` is that of both parts, and replaces the one that `estimator` has. A teacher's
    trajectory begins on the entry that the other part is on in the same place, with constants,
    params and a length of its own; given the entries, the parts' errors are independent, as
    the variance has it. With a `weight` of 0 the loss is measured, and the meta-gradient the
    other estimator's. A place in which either is not finite is named among the faults; the
    other part keeps what it has.

    Raises `ValueError` for an unknown teacher, a negative weight, a rate that is not positive,
    or an `estimator` that imitates already.

    **Example**

    ```python
    estimator = Imitation(Unrolling(steps=20, problems=24), PersistentES(), teacher="adam")
    state = estimator.init(optimizer, group, jax.random.key(0))
    estimate = estimator.estimate(optimizer, group, state, meta_step=jnp.array(0))
    ```
    """

    unrolling: Unrolling = Unrolling()
    estimator: MetaGradient = TruncatedBackprop()
    weight: float = eqx.field(static=True, default=0.1)
    teacher: str = eqx.field(static=True, default="adam")
    learning_rate: float = eqx.field(static=True, default=0.01)
    problem_clip_norm: float = eqx.field(static=True, default=1.0)

    def __post_init__(self) -> None:
        estimator: Any = self.estimator
        self.estimator = dataclasses.replace(estimator, unrolling=self.unrolling)

    def __check_init__(self) -> None:
        check_clip_norm("problem_clip_norm", self.problem_clip_norm)
        if self.teacher not in TEACHERS:
            known = ", ".join(TEACHERS)
            raise ValueError(f"teacher is {self.teacher!r}, but must be one of {known}.")
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"weight is {self.weight}, but must be at least 0 and finite.")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(
                f"learning_rate is {self.learning_rate}, but must be positive and finite."
            )
        if isinstance(self.estimator, Imitation):
            raise ValueError("estimator imitates already: give Imitation what it imitates beside.")

    @classmethod
    def examples(cls) -> Sequence["Imitation"]:
        unrolling = Unrolling(steps=3, problems=4)
        return (cls(unrolling), cls(unrolling, PersistentES(), weight=1.0, teacher="momentum"))

    def init(
        self, optimizer: LearnedOptimizer, group: Group, key: Key[Array, ""]
    ) -> ImitationState:
        other = self.estimator.init(optimizer, group, key)
        taught = self._lessons().init(self._taught(optimizer), group, key)
        return ImitationState(other, taught.places, key)

    def estimate(
        self,
        optimizer: LearnedOptimizer,
        group: Group,
        state: ImitationState,
        meta_step: Int[Array, ""],
    ) -> Estimate:
        before = state.estimator._replace(key=state.key)
        other = self.estimator.estimate(optimizer, group, before, meta_step)
        # Folding in 1 would give the second key that the other part splits its own into.
        own_key = jax.random.fold_in(state.key, 2**31 - 1)
        taught = self._lessons(other.faults.entries).estimate(
            self._taught(optimizer), group, TruncatedBackpropState(state.places, own_key), meta_step
        )
        faults = _either(other.faults, taught.faults)
        return other._replace(
            gradient=other.gradient + self.weight * taught.gradient,
            state=ImitationState(other.state, taught.state.places, other.state.key),
            metrics=_counted(other.metrics, taught.metrics, faults),
            variance=other.variance + self.weight**2 * taught.variance,
            faults=faults,
            means=dict(other.means or {}) | {"imitation/loss": taught.meta_loss},
        )

    def _lessons(self, entries: Int[Array, " problems"] | None = None) -> TruncatedBackprop:
        settings = vars(self.unrolling) | {"objective": LikeTheTeacher(), "entries": entries}
        return TruncatedBackprop(_Lessons(**settings), self.problem_clip_norm)

    def _taught(self, optimizer: LearnedOptimizer) -> Taught:
        return Taught(optimizer, self.teacher, self.learning_rate)


class _Lessons(Unrolling):
    """Unrolls of trajectories that begin on entries which somebody else has drawn."""

    entries: Int[Array, " problems"] | None = None

    def renew(
        self, places: Places, group: Group, key: Key[Array, ""], meta_step: Int[Array, ""]
    ) -> Renewal:
        return renewal(places, group, self.lengths, self.steps, key, meta_step, self.entries)


def _either(one: Faults, other: Faults) -> Faults:
    """Name the faults of both, the first one's where there are two in a place."""
    is_others = other.bad & ~one.bad
    return Faults(
        one.bad | other.bad,
        jnp.where(is_others, other.entries, one.entries),
        jnp.where(is_others, other.inner_steps, one.inner_steps),
        beside=is_others,
    )


def _counted(metrics: Metrics, taught: Metrics, faults: Faults) -> Metrics:
    """Add the second part's inner steps and faults; what else it counts has names of its own."""
    own = {f"imitation/{name.rpartition('/')[2]}": value for name, value in taught.items()}
    steps = metrics["inner/steps"] + own.pop("imitation/steps")
    nonfinite = faults.bad.sum().astype(jnp.float32)
    return dict(metrics) | own | {"inner/steps": steps, "meta/nonfinite": nonfinite}
