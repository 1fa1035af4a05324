"""A program that meta-trains for two meta-steps and prints what JAX did for it, as JSON.

What is compiled in one process is kept in it, so only another one can find programs on disk.
"""

import json
import sys
from collections import Counter

import jax

from lopt.architectures import LearnedAdam
from lopt.ensembles import draw_ensemble
from lopt.meta_gradients import TruncatedBackprop, Unrolling
from lopt.meta_training import MetaTraining, init_meta_state, meta_train
from lopt.packed_state import pack

ENTRIES = [{"family": "bowls", "spec": {"problem": "Bowl", "condition_number": 2.0}}]


def main() -> None:
    events: Counter[str] = Counter()
    jax.monitoring.register_event_listener(lambda event, **_: events.update([event]))
    groups = draw_ensemble(ENTRIES, seed=0).groups()
    training = MetaTraining(TruncatedBackprop(Unrolling(steps=2, problems=2)))
    optimizer = LearnedAdam.release(key=jax.random.key(0))
    state = init_meta_state(training, optimizer, groups, jax.random.key(1))
    ((trained, _),) = meta_train(training, groups, state, last_meta_step=2)
    sys.stdout.write(json.dumps({"events": events, "state": pack(trained).digest({})}))


if __name__ == "__main__":
    main()
