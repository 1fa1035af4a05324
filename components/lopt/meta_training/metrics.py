"""What meta-steps give, and who was left out of them."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from lopt.meta_gradients import Faults


class MetaMetrics(NamedTuple):
    """What the meta-steps of one dispatch gave, still on the device.

    Names tell the level: "meta/loss" (mean over the groups that were worked on, weighted),
    "meta/loss/<family>", "meta/gradient_norm" before clipping, "meta/gradient_clipped" (1 or
    0), "meta/gradient_error" (the standard error of the meta-gradient, as a norm), and
    the estimator's counts summed over the groups, such as "meta/nonfinite" (problems left
    out), by family as well. What else an estimator has a mean of, such as "imitation/loss", is
    averaged as the loss is, and there by family.
    """

    first_meta_step: int
    steps: int
    # Only the first `steps` of each array are of this dispatch.
    values: Mapping[str, Float[Array, " steps"]]
    families: tuple[str, ...]
    faults: tuple[Faults, ...]

    def is_ready(self) -> bool:
        """Tell, without waiting, whether the device has done it all."""
        # XLA's arrays have it, JAX's stubs leave it out.
        return all(column.is_ready() for column in self.values.values())  # type: ignore[attr-defined]

    def rows(self) -> list[dict[str, float]]:
        """Wait for the device and return the metrics of each meta-step."""
        values = jax.device_get(dict(self.values))
        return [
            {name: float(column[step]) for name, column in values.items()}
            for step in range(self.steps)
        ]

    def named_faults(self) -> list["Fault"]:
        """Wait for the device and return who took no part and since when."""
        found = []
        for family, faults in zip(self.families, jax.device_get(self.faults), strict=True):
            for step, place in np.argwhere(faults.bad[: self.steps]):
                entry, inner_step = faults.entries[step, place], faults.inner_steps[step, place]
                meta_step = self.first_meta_step + int(step)
                found.append(Fault(meta_step, family, int(entry), int(inner_step)))
        return found


class Fault(NamedTuple):
    """A problem that was left out of a meta-gradient, because something was not finite."""

    meta_step: int
    family: str
    entry: int
    inner_step: int

    def __str__(self) -> str:
        return (
            f"meta-step {self.meta_step}: entry {self.entry} of {self.family} is not finite at "
            f"inner step {self.inner_step}: left out, begins anew"
        )
