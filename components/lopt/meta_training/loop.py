"""Meta-training as an iterator."""

from collections.abc import Iterator, Sequence

from jax.sharding import Mesh

from lopt.ensembles import Group
from lopt.meta_training.ahead import compiling_ahead
from lopt.meta_training.devices import on_all
from lopt.meta_training.metrics import MetaMetrics
from lopt.meta_training.settings import MetaTraining
from lopt.meta_training.state import MetaState, placed
from lopt.meta_training.steps import take_turn


def meta_train(
    training: MetaTraining,
    groups: Sequence[Group],
    meta_state: MetaState,
    *,
    last_meta_step: int | None = None,
    mesh: Mesh | None = None,
) -> Iterator[tuple[MetaState, MetaMetrics]]:
    """Yield the state and the metrics after each dispatch of a few meta-steps.

    Goes on to `last_meta_step`, or without end. Neither waits for the device nor logs; the
    caller fetches metrics (best those of the dispatch before), logs, checkpoints and stops.
    What is yielded depends on the state alone, not on where the last call began. Where bundles
    of groups take turns, later ones are compiled in other threads while the first ones run.

    With a `mesh` (`lopt.meta_training.problem_mesh`) each of its devices works on its part of the
    problems; the sums over problems are then rounded in another order.

    **Example**

    ```python
    for meta_state, metrics in meta_train(training, groups, meta_state, last_meta_step=100):
        print(metrics.first_meta_step, metrics.rows()[0]["meta/loss"])
    ```
    """
    schedule = training.schedule(groups)
    groups, meta_state = on_all(tuple(groups), mesh), placed(meta_state, mesh)
    done = int(meta_state.meta_step)
    if last_meta_step is not None and done >= last_meta_step:
        return
    with compiling_ahead(
        training, groups, meta_state, schedule, mesh, done, last_meta_step
    ) as ahead:
        while last_meta_step is None or done < last_meta_step:
            turn = schedule.turn(done, last_meta_step)
            ahead.wait_for(turn.bundle)
            meta_state, metrics = take_turn(training, groups, meta_state, turn, mesh)
            yield meta_state, metrics
            done += turn.steps
