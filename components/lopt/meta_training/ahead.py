"""Compiling the programs of later bundles while the first ones run already."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from jax.sharding import Mesh

from lopt.cores import usable_cores
from lopt.ensembles import Group
from lopt.meta_training.schedule import Schedule, Turn
from lopt.meta_training.settings import MetaTraining
from lopt.meta_training.state import MetaState
from lopt.meta_training.steps import compile_turn

MOST_AT_ONCE = 4


class Ahead:
    """The programs that are being compiled, by bundle."""

    def __init__(self, compiling: dict[int, "Future[None]"]) -> None:
        self._compiling = compiling

    def wait_for(self, bundle: int) -> None:
        """Wait until a bundle's program is there; raise what compiling it raised."""
        if bundle in self._compiling:
            self._compiling.pop(bundle).result()


@contextmanager
def compiling_ahead(
    training: MetaTraining,
    groups: Sequence[Group],
    meta_state: MetaState,
    schedule: Schedule,
    mesh: Mesh | None,
    done: int,
    last_meta_step: int | None,
) -> Iterator[Ahead]:
    """Compile the programs that are needed in other threads, in the order of need.

    A bundle must be waited for before it is run, or it would be compiled twice. A single
    bundle is left to its first run. What has not been begun when the context ends is not
    compiled; what has been begun is, which can take a minute.

    **Example**

    ```python
    with compiling_ahead(training, groups, state, schedule, None, 0, None) as ahead:
        ahead.wait_for(0)
    ```
    """
    if len(schedule.bundles) == 1:
        yield Ahead({})
        return
    threads = ThreadPoolExecutor(min(MOST_AT_ONCE, usable_cores()), "compiling-ahead")
    try:
        turns = _first_turns(schedule, done, last_meta_step)
        yield Ahead(
            {
                turn.bundle: threads.submit(compile_turn, training, groups, meta_state, turn, mesh)
                for turn in turns
            }
        )
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def _first_turns(schedule: Schedule, done: int, last_meta_step: int | None) -> list[Turn]:
    """Return the first turn of each bundle that has one, in order."""
    turns: list[Turn] = []
    while len(turns) < len(schedule.bundles) and done != last_meta_step:
        turns.append(schedule.turn(done, last_meta_step))
        done += turns[-1].steps
    return turns
