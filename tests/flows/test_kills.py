"""Killed twenty times at random moments, a meta-training ends with the bits of one never killed."""

import random
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

import lopt.meta_gradients
from lopt.catalogue import concrete_classes
from lopt.meta_gradients import MetaGradient
from tests.flows.command_runs import SECONDS, CommandRun

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.filterwarnings("default")]

ESTIMATORS = concrete_classes(lopt.meta_gradients, MetaGradient)
SEED = 0
META_STEPS, SEGMENT = 32, 2
ENTRIES = """
entries:
  - family: quadratics
    count: 2
    spec: {problem: GradientNoise, std: 0.1, of: {problem: Quadratic, dimensions: 2}}
"""
SETTINGS = (
    "architecture=LearnedAdam",
    f"meta_steps={META_STEPS}",
    f"segment_meta_steps={SEGMENT}",
    "meta_steps_per_dispatch=1",
    "validation_meta_steps=1",
)
SECONDS_OF_A_WRITE = 0.05


class Life(NamedTuple):
    """How many seconds a run takes that nobody kills."""

    to_first_checkpoint: float
    of_a_segment: float
    to_end: float


class Moment(NamedTuple):
    """So many seconds after something new is there that was not before the run was begun again."""

    what: str
    seconds: float


def beginning(run: CommandRun) -> set[object]:
    return {time.monotonic()}


def written(run: CommandRun) -> set[object]:
    """Return what is being written, or what a kill has left of it."""
    return set(run.home.glob("runs/*/001/*/*.orbax-checkpoint-tmp*"))


def checkpoints(run: CommandRun) -> set[object]:
    return {path for path in run.home.glob("runs/*/001/checkpoints/*") if path.name.isdecimal()}


def artifacts(run: CommandRun) -> set[object]:
    """Return the plots and models, which are written anew after the last meta-step."""
    paths = run.home.glob("mlartifacts/**/*")
    return {(path, path.stat().st_mtime_ns) for path in paths if path.is_file()}


WHAT = {
    "beginning": beginning,
    "checkpoint": checkpoints,
    "write": written,
    "artifact": artifacts,
}


def moments_of(life: Life, chance: random.Random) -> list[Moment]:
    """Return twenty: the first where nothing is compiled, the last where nothing is left to do."""
    # Of that, what Python takes to compile its packages is not taken a second time.
    first = life.to_first_checkpoint / 2
    beginnings = [Moment("beginning", chance.uniform(0, first)) for _ in range(4)]
    between = [Moment("beginning", chance.uniform(0, first / 2)) for _ in range(3)]
    between += [Moment("checkpoint", chance.uniform(0, life.of_a_segment)) for _ in range(5)]
    between += [Moment("write", chance.uniform(0, SECONDS_OF_A_WRITE)) for _ in range(5)]
    chance.shuffle(between)
    ends = [Moment("artifact", chance.uniform(0, life.to_end / 2)) for _ in range(3)]
    return [*beginnings, *between, *ends]


def killed_at(moment: Moment, run: CommandRun) -> bool:
    """Begin a run again and kill it at this moment; whether it was not done before."""
    look = WHAT[moment.what]
    before, times = look(run), list[float]()

    def is_now() -> bool:
        if not times and look(run) - before:
            times.append(time.monotonic())
        return bool(times) and time.monotonic() >= times[0] + moment.seconds

    status = run.signalled(signal.SIGKILL, is_now)
    assert status in {0, -signal.SIGKILL}, run.log()
    return status != 0


def lived(run: CommandRun) -> Life:
    """Let a run come to its end; what that takes."""
    process, begun = run.start(), time.monotonic()
    times = []
    for meta_step in (SEGMENT, META_STEPS):
        while process.poll() is None and not run.has(meta_step):
            time.sleep(0.005)
        times.append(time.monotonic() - begun)
    assert process.wait(SECONDS) == 0, run.log()
    to_first, to_last = times
    of_a_segment = (to_last - to_first) / (META_STEPS / SEGMENT - 1)
    return Life(to_first, of_a_segment, time.monotonic() - begun - to_last)


def chosen(estimator: str) -> tuple[str, ...]:
    """Return the settings of a conf with this estimator; imitation goes beside another one."""
    if estimator == "Imitation":
        return ("estimator=PersistentES", "imitation_weight=0.5")
    return (f"estimator={estimator}",)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_resuming_equals_never_stopping(estimator: str, tmp_path: Path, server: str) -> None:
    entries = tmp_path / "entries.yaml"
    entries.write_text(ENTRIES)
    settings = (*SETTINGS, *chosen(estimator), f"entries={entries}")
    never_killed = CommandRun(tmp_path / "never_killed", server, tmp_path / "jax", settings)
    moments = moments_of(lived(never_killed), random.Random(f"{SEED} {estimator}"))
    assert len(moments) == 20
    homes = 0
    # One home is enough, unless a run ends before it was to be killed.
    while moments:
        homes += 1
        run = CommandRun(tmp_path / f"killed_{homes}", server, tmp_path / "jax_of_killed", settings)
        while moments and not run.is_released():
            sys.stdout.write(f"{estimator}, seed {SEED}: {moments[0]}\n")
            moment = moments.pop(0)
            if not killed_at(moment, run):
                moments.insert(0, moment._replace(seconds=moment.seconds / 2))
        if not run.is_released():
            run.finish()
            assert run.tracked() == ("FINISHED", list(range(1, META_STEPS + 1)))
        assert run.meta_params() == never_killed.meta_params()
        # The meta-optimizer's state, keys and all trajectories in work, of the very last meta-step.
        assert run.digest(META_STEPS) == never_killed.digest(META_STEPS)
