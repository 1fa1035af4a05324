"""Draws of an ensemble that no meta-training has seen."""

from collections.abc import Sequence

import equinox as eqx
import jax
from jaxtyping import Array, Key

from lopt.ensembles import Group, draw_ensemble
from lopt.evaluation.target import Target
from lopt.problems.base import Problem


class HeldOut(Target):
    """One group of an ensemble: each seed draws an entry by weight, and its constants anew.

    Of the same kind as the problems of meta-training, but other draws: asks whether an
    optimizer has learned the kind and not the instances.

    **Example**

    ```python
    targets = [HeldOut.of(group) for group in ensemble.groups()]
    ```
    """

    name: str = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    record_every: int = eqx.field(static=True)
    group: Group

    @classmethod
    def of(cls, group: Group, steps: int = 300, record_every: int = 1) -> "HeldOut":
        """Return the target "held_out/<family>" of a group.

        **Example**

        ```python
        target = HeldOut.of(ensemble.groups()[0], steps=500)
        ```
        """
        return cls(f"held_out/{group.family}", steps, record_every, group)

    def draw(self, key: Key[Array, ""]) -> Problem:
        entry_key, constants_key = jax.random.split(key)
        weights = self.group.weights
        entry = jax.random.choice(entry_key, weights.shape[0], p=weights / weights.sum())
        return self.group.entry(entry).draw(constants_key)

    @classmethod
    def examples(cls) -> Sequence[Target]:
        spec = {"problem": "Bowl", "condition_number": {"log_uniform": [0.5, 5.0]}}
        ensemble = draw_ensemble([{"family": "bowls", "count": 3, "spec": spec}], seed=0)
        return [cls.of(group, steps=4, record_every=2) for group in ensemble.groups()]
