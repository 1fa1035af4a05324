"""A problem under a name, drawn anew for every seed."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from lopt.ensembles import draw_ensemble
from lopt.evaluation.target import Target
from lopt.evaluation.targets.held_out import HeldOut


@dataclasses.dataclass(frozen=True)
class DrawnProblem:
    """One name and the spec of a problem, as an ensemble has it; `on` makes a target of it.

    A constant of a module in `lopt.evaluation.targets` is found by its name.

    **Example**

    ```python
    spec = {"problem": "TwoDimensional", "function": "Rosenbrock"}
    ROSENBROCK = DrawnProblem("papers/rosenbrock", spec)
    target = ROSENBROCK.target(steps=500)
    ```
    """

    name: str
    spec: Mapping[str, Any]

    def target(self, steps: int = 500, record_every: int = 10) -> Target:
        """Return the target, a `HeldOut` group of one entry.

        **Example**

        ```python
        target = ROSENBROCK.target(steps=500, record_every=10)
        ```
        """
        entries = [{"family": "drawn", "spec": self.spec}]
        (group,) = draw_ensemble(entries, seed=0).groups()
        return dataclasses.replace(HeldOut.of(group, steps, record_every), name=self.name)
