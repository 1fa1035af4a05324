"""Which groups of an ensemble each meta-step works on."""

import dataclasses
import functools
from typing import NamedTuple


class Turn(NamedTuple):
    """Some meta-steps that work on the same groups."""

    bundle: int
    groups: tuple[int, ...]
    shares: tuple[float, ...]
    """The groups' weights; over a round of all bundles their mean sum is 1."""
    done: int
    """Meta-steps before."""
    steps: int


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Bundles of groups that take turns; a function of the meta-step alone.

    A bundle is one compiled program, so a large ensemble need not be compiled as one, which
    takes a quarter of an hour, and a meta-step does not have to wait for all of it. Groups
    are dealt to bundles so that these are of nearly one weight, and every bundle has as many
    turns as the others.

    **Example**

    ```python
    schedule = Schedule(weights=(1.0, 1.0, 2.0), groups_per_step=2, steps_per_turn=10)
    schedule.bundles  # ((2,), (0, 1))
    schedule.turn(13).steps  # 7: the rest of the turn of bundle 1
    ```
    """

    weights: tuple[float, ...]
    groups_per_step: int
    steps_per_turn: int

    @functools.cached_property
    def bundles(self) -> tuple[tuple[int, ...], ...]:
        """The numbers of the groups of each bundle."""
        count = -(-len(self.weights) // self.groups_per_step)
        bundles: list[list[int]] = [[] for _ in range(count)]
        # The heaviest first, each to the lightest bundle that has room.
        for group in sorted(range(len(self.weights)), key=lambda group: -self.weights[group]):
            room = [bundle for bundle in bundles if len(bundle) < self.groups_per_step]
            min(room, key=self._weight).append(group)
        return tuple(tuple(sorted(bundle)) for bundle in bundles)

    def shares(self, bundle: int) -> tuple[float, ...]:
        """Return the weights of a bundle's groups, in units of the mean weight of a bundle."""
        unit = sum(self.weights) / len(self.bundles)
        return tuple(self.weights[group] / unit for group in self.bundles[bundle])

    def turn(self, done: int, last_meta_step: int | None = None) -> Turn:
        """Return what comes after `done` meta-steps, no further than the last one."""
        number, into = divmod(done, self.steps_per_turn)
        steps = self.steps_per_turn - into
        if last_meta_step is not None:
            steps = min(steps, last_meta_step - done)
        return self.turn_of(number % len(self.bundles), done, steps)

    def turn_of(self, bundle: int, done: int, steps: int) -> Turn:
        """Return a turn of a bundle, whosever turn it is."""
        return Turn(bundle, self.bundles[bundle], self.shares(bundle), done, steps)

    def _weight(self, bundle: list[int]) -> float:
        return sum((self.weights[group] for group in bundle), 0.0)
