"""A program that computes a cell and prints what that took, as JSON: STEPS FOLDER [UNTIL].

It goes on from the newest checkpoint in the folder, and leaves one after about UNTIL steps, where
it stops. The most memory that a process ever had is of all that it did: this one does little else.
"""

import json
import sys
from pathlib import Path

import jax
import numpy as np
import optax

from lopt.checkpoint import Checkpoints
from lopt.ensembles import draw_ensemble
from lopt.evaluation import Candidate, cell_states
from lopt.evaluation.cell_states import CellState, Work, first_state, later_states
from lopt.evaluation.evaluate import finished, prepared
from lopt.evaluation.targets.held_out import HeldOut
from lopt.packed_state import pack

DIMENSIONS, SEEDS, RECORD_EVERY = 200, 2, 10
SPEC = {
    "problem": "GradientNoise",
    "std": 0.1,
    "of": {"problem": "Quadratic", "dimensions": DIMENSIONS},
}
ADAM = Candidate("Adam", optax.adam, (1e-3,))


def target_of(steps: int) -> HeldOut:
    """Return a noisy quadratic."""
    ensemble = draw_ensemble([{"family": "bowls", "spec": SPEC}], seed=0)
    return HeldOut.of(ensemble.groups()[0], steps, RECORD_EVERY)


def newest(work: Work, checkpoints: Checkpoints) -> CellState:
    """Return the newest state there is, as the evaluation does."""
    begun = first_state(work)
    return begun if checkpoints.latest() is None else checkpoints.restore(like=begun)[0]


def peak() -> int:
    """Return the most bytes that this program had in memory.

    Not those of `resource.getrusage`, which begin with those of the process that started it.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    (kibibytes,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return 1024 * int(kibibytes)


def main(steps: int, folder: Path, until: int) -> None:
    jax.config.update("jax_disable_most_optimizations", True)
    # Many segments, as a cell of hours has.
    cell_states.SEGMENT_SECONDS = 0.2
    target, segments = target_of(steps), 0
    work = prepared(target, ADAM, SEEDS, jax.random.key(0))
    with Checkpoints(folder, keep=2) as checkpoints:
        state = newest(work, checkpoints)
        begun_at = int(state.records)
        for newer in later_states(work, state):
            state, segments = newer, segments + 1
            if RECORD_EVERY * int(state.records) > until:
                checkpoints.save(int(state.records), state, {})
                break
        else:
            assert np.isfinite(finished(target, ADAM, work, state).losses).all()
    found = {
        "records": [begun_at, int(state.records)],
        "segments": segments,
        "seconds": float(state.seconds),
        "peak": peak(),
        "digest": pack(state.trajectories).digest({}),
        "moved": float(np.ptp(state.trajectories.losses)),
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int((*sys.argv, sys.maxsize)[3]))
