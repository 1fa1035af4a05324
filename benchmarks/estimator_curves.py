"""Held-out loss against seconds of meta-training, for each estimator on the same ensemble.

    python -m benchmarks.estimator_curves --seconds 120 --seeds 2 --picture curves.png

Compiling is not counted. Each estimator has meta-steps of its own cost, so that only seconds
compare. What is measured is done afterwards, with the meta-params kept on the way: whole
trainings of problems that no meta-training draws, by one program for all estimators.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import yaml

import lopt.meta_gradients
from lopt.architectures import HierarchicalRNN
from lopt.catalogue import concrete_classes
from lopt.ensembles import draw_ensemble
from lopt.meta_gradients import ExponentialLengths, MetaGradient, Unrolling
from lopt.meta_training import MetaTraining, init_meta_state, meta_train, problem_mesh
from lopt.unroll import begin, current_loss, unroll
from tasks.cores import usable_cores

PROBLEMS, STEPS, WHOLE_TRAINING = 24, 20, 300
# Of the unrolls that a trajectory has on the average; whole trajectories are what the last is for.
LENGTHS = ExponentialLengths(mean_extra=14.0, longest=30)
WORST = 2.0
SNAPSHOTS = 12


class Point(NamedTuple):
    """How good an optimizer is after so long a meta-training."""

    estimator: str
    seed: int
    seconds: float
    meta_steps: int
    # Mean over families of the mean log10 of the loss over the first one.
    score: float


def main() -> None:
    """Measure, print a table and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ensemble", type=Path, default=Path("conf/ensembles/quick.yaml"))
    parser.add_argument("--families", nargs="*", default=["quadratics", "networks"])
    parser.add_argument("--estimators", nargs="*", default=list(_estimators()))
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--points", type=Path, default=Path("estimator_curves.json"))
    parser.add_argument("--picture", type=Path, default=Path("estimator_curves.png"))
    arguments = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", usable_cores())
    entries = [
        entry
        for entry in yaml.safe_load(arguments.ensemble.read_text())["entries"]
        if entry["family"] in arguments.families
    ]
    groups, held_out = (draw_ensemble(entries, seed=seed).groups() for seed in (0, 1))
    points: list[Point] = []
    for name in arguments.estimators:
        for seed in range(arguments.seeds):
            points += _curve(name, seed, groups, held_out, arguments.seconds)
            last = points[-1]
            sys.stdout.write(
                f"{name}, seed {seed}: {last.score:+.3f} ({last.meta_steps} meta-steps)\n"
            )
    arguments.points.write_text(json.dumps([point._asdict() for point in points], indent=1))
    _draw(points, arguments.picture)


def _estimators() -> dict[str, type[MetaGradient]]:
    classes = concrete_classes(lopt.meta_gradients, MetaGradient)
    return {name: cls for name, cls in classes.items() if "unrolling" in cls.__annotations__}


def _curve(
    name: str, seed: int, groups: Sequence[Any], held_out: Sequence[Any], seconds: float
) -> list[Point]:
    unrolling = Unrolling(steps=STEPS, problems=PROBLEMS, lengths=LENGTHS)
    estimator = _estimators()[name](unrolling)
    training = MetaTraining(estimator, decay_steps=100_000, steps_per_dispatch=5)
    mesh = problem_mesh() if jax.device_count() > 1 else None
    optimizer = HierarchicalRNN.release(key=jax.random.key(seed))
    key = jax.random.key(1000 + seed)

    def beginning() -> Any:
        return init_meta_state(training, optimizer, groups, key)

    # Once to compile, and away with it.
    for _ in meta_train(training, groups, beginning(), last_meta_step=1, mesh=mesh):
        pass
    due = [0.0, *np.geomspace(seconds / 30, seconds, SNAPSHOTS)]
    kept = [(0.0, 0, optimizer)]
    began = time.perf_counter()
    for state, metrics in meta_train(training, groups, beginning(), mesh=mesh):
        metrics.rows()
        elapsed = time.perf_counter() - began
        if elapsed >= due[len(kept)]:
            kept.append((elapsed, int(state.meta_step), jax.device_get(state.optimizer)))
        if len(kept) == len(due):
            break
    return [
        Point(name, seed, when, step, _score(kept_one, held_out)) for when, step, kept_one in kept
    ]


def _score(optimizer: Any, groups: Sequence[Any]) -> float:
    return float(np.mean([_family_score(optimizer, group) for group in groups]))


@eqx.filter_jit
def _family_score(optimizer: Any, group: Any) -> Any:
    def one(key: Any) -> Any:
        entry_key, draw_key, begin_key = jax.random.split(key, 3)
        entry = jax.random.categorical(entry_key, jnp.log(group.weights))
        trajectory = begin(group.entry(entry).draw(draw_key), optimizer, begin_key)
        losses = unroll(optimizer, trajectory, WHOLE_TRAINING, remember=current_loss)[1]
        relative = jnp.log10((losses + 1e-6) / (trajectory.initial_loss + 1e-6))
        return jnp.where(jnp.isfinite(relative), jnp.minimum(relative, WORST), WORST).mean()

    return jax.vmap(one)(jax.random.split(jax.random.key(7), 64)).mean()


def _draw(points: Sequence[Point], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name in dict.fromkeys(point.estimator for point in points):
        seeds = {point.seed for point in points}
        curves = [[p for p in points if (p.estimator, p.seed) == (name, seed)] for seed in seeds]
        scores = np.asarray([[point.score for point in curve] for curve in curves])
        seconds = np.asarray([[point.seconds for point in curve] for curve in curves]).mean(0)
        (line,) = axes.plot(seconds, scores.mean(0), marker="o", markersize=3, label=name)
        axes.fill_between(
            seconds, scores.min(0), scores.max(0), color=line.get_color(), alpha=0.15, linewidth=0
        )
    axes.set(
        xlabel="seconds of meta-training, without compiling",
        ylabel=f"mean log10 of relative loss over {WHOLE_TRAINING} inner steps, held out",
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
