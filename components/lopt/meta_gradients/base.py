"""What an estimator of the meta-gradient is."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from lopt.architectures import LearnedOptimizer
from lopt.ensembles import Group

Metrics = Mapping[str, Float[Array, ""]]


class Faults(NamedTuple):
    """Which problems took no part because something was not finite, and where it happened."""

    bad: Bool[Array, " problems"]
    entries: Int[Array, " problems"]
    """The number of the entry in its group."""
    inner_steps: Int[Array, " problems"]
    """The first inner step after which the loss was not finite, or the last of the unroll."""
    beside: Bool[Array, " problems"] | None = None
    """Those whose meta-loss is sound all the same; `None` for none: a teacher's trajectories."""


class Estimate(NamedTuple):
    """What an estimator returns: the meta-loss, its gradient, and how it goes on."""

    meta_loss: Float[Array, ""]
    # With respect to the meta-params as one vector (`lopt.meta_gradients.vectors`).
    gradient: Float[Array, " meta_params"]
    state: PyTree[Array]
    # Counts over the problems, so that they add up over groups and devices.
    metrics: Metrics
    # The squared standard error of the gradient, summed over the meta-params.
    variance: Float[Array, ""]
    faults: Faults
    # What else is a mean over the sound problems, and is averaged over groups as meta-losses are.
    means: Metrics | None = None


class MetaGradient(eqx.Module):
    """A way to estimate the gradient of the meta-loss with respect to the meta-params.

    All fields are static, so that an estimator can be part of a compiled program's key. It
    owns what happens between a group of an ensemble and a gradient: which entries are in
    work, how long each trajectory is, when it begins anew. Devices are not its business, but
    what belongs to a problem has the problems as its first axis, over which it is divided.

    **Example**

    ```python
    estimator = TruncatedBackprop(Unrolling(steps=20))
    state = estimator.init(optimizer, group, jax.random.key(0))
    estimate = estimator.estimate(optimizer, group, state, meta_step=jnp.array(0))
    ```
    """

    @abstractmethod
    def init(self, optimizer: LearnedOptimizer, group: Group, key: Key[Array, ""]) -> PyTree[Any]:
        """Begin the trajectories; the state has the structure that `estimate` returns."""

    @abstractmethod
    def estimate(
        self,
        optimizer: LearnedOptimizer,
        group: Group,
        state: PyTree[Any],
        meta_step: Int[Array, ""],
    ) -> Estimate:
        """Move all trajectories on and estimate; can be traced.

        A problem whose meta-loss or gradient is not finite takes no part in the estimate, is
        counted in the metrics, is named among the faults and begins anew. (An objective may
        give an infinite loss a finite meta-loss: `ClippedMeanLoss` does.)
        """

    @classmethod
    @abstractmethod
    def examples(cls) -> Sequence["MetaGradient"]:
        """Return instances on which the contract tests run."""
