"""Held-out loss against seconds of meta-training, for each estimator on the same ensemble.

    python -m benchmarks.estimator_curves --runs PersistentES@1e-3 PersistentES@3e-3
    python -m benchmarks.estimator_curves --runs PersistentES@1e-3 --seeds 1 2 --seconds 90

A run is an estimator and its meta-learning rate. What was measured before stays in the table, so
that many runs can be measured piece by piece, and is drawn as well. The meta-training is of one
ensemble; each seed has held-out problems of its own, so that a rate is not chosen on those on
which it is shown.

Compiling is not counted. Each estimator has meta-steps of its own cost, so that only seconds
compare. What is measured is done afterwards, with the meta-params kept on the way: whole
trainings of problems that no meta-training draws, by one program for all estimators.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

import lopt.meta_gradients
from lopt.architectures import HierarchicalRNN
from lopt.catalogue import concrete_classes
from lopt.cores import usable_cores
from lopt.ensembles import draw_ensemble
from lopt.meta_gradients import ExponentialLengths, MetaGradient, Unrolling
from lopt.meta_training import MetaTraining, init_meta_state, meta_train, problem_mesh
from lopt.unroll import begin, current_loss, unroll

PROBLEMS, STEPS, WHOLE_TRAINING = 24, 20, 300
# Of the unrolls that a trajectory has on the average; whole trajectories are what the last is for.
LENGTHS = ExponentialLengths(mean_extra=14.0, longest=30)
WORST = 2.0
SNAPSHOTS = 12


class Point(NamedTuple):
    """How good an optimizer is after so long a meta-training."""

    estimator: str
    meta_learning_rate: float
    seed: int
    seconds: float
    meta_steps: int
    # Mean over families of the mean log10 of the loss over the first one.
    score: float


class Run(NamedTuple):
    """What is meta-trained with."""

    estimator: str
    meta_learning_rate: float


def main() -> None:
    """Measure, print a table and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ensemble", type=Path, default=Path("conf/ensembles/quick.yaml"))
    parser.add_argument("--families", nargs="*", default=["quadratics", "networks"])
    parser.add_argument("--runs", nargs="*", type=_run, default=[])
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--points", type=Path, default=Path("estimator_curves.parquet"))
    parser.add_argument("--picture", type=Path, default=Path("estimator_curves.png"))
    arguments = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", usable_cores())
    entries = [
        entry
        for entry in yaml.safe_load(arguments.ensemble.read_text())["entries"]
        if entry["family"] in arguments.families
    ]
    points = _read(arguments.points)
    for run in arguments.runs:
        for seed in arguments.seeds:
            others = [point for point in points if (Run(*point[:2]), point.seed) != (run, seed)]
            points = others + _curve(run, seed, entries, arguments.seconds)
            _write(points, arguments.points)
            sys.stdout.write(f"{_line(points[-1])}\n")
    _draw(points, arguments.picture)


def _run(text: str) -> Run:
    name, _, rate = text.partition("@")
    if name not in _estimators():
        raise argparse.ArgumentTypeError(
            f"{text}: {name} is no estimator, but these are: {', '.join(_estimators())}."
        )
    return Run(name, float(rate))


def _estimators() -> dict[str, type[MetaGradient]]:
    classes = concrete_classes(lopt.meta_gradients, MetaGradient)
    return {name: cls for name, cls in classes.items() if "unrolling" in cls.__annotations__}


def _line(point: Point) -> str:
    return (
        f"{point.estimator}@{point.meta_learning_rate:g}, seed {point.seed}: {point.score:+.3f} "
        f"after {point.seconds:.0f} s, {point.meta_steps} meta-steps"
    )


def _read(path: Path) -> list[Point]:
    return [Point(**row) for row in pq.read_table(path).to_pylist()] if path.exists() else []


def _write(points: Sequence[Point], path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([point._asdict() for point in points]), path)


def _curve(run: Run, seed: int, entries: Sequence[Any], seconds: float) -> list[Point]:
    groups, held_out = (draw_ensemble(entries, seed=draw).groups() for draw in (0, 1 + seed))
    unrolling = Unrolling(steps=STEPS, problems=PROBLEMS, lengths=LENGTHS)
    estimator = _estimators()[run.estimator](unrolling)
    training = MetaTraining(estimator, decay_steps=100_000, steps_per_dispatch=5)
    mesh = problem_mesh() if jax.device_count() > 1 else None
    optimizer = HierarchicalRNN.release(key=jax.random.key(seed))
    key = jax.random.key(1000 + seed)
    # A number of the state and not of the settings, so that all rates share a program.
    scale = jnp.float32(run.meta_learning_rate / training.meta_learning_rate)

    def beginning() -> Any:
        state = init_meta_state(training, optimizer, groups, key)
        return dataclasses.replace(state, rate_scale=scale)

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
    return [Point(*run, seed, when, step, _score(one, held_out)) for when, step, one in kept]


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
    for run in dict.fromkeys(Run(*point[:2]) for point in points):
        curves = _curves_of(run, points)
        seeds = ", ".join(str(seed) for seed in curves)
        scores = np.asarray([[point.score for point in curve] for curve in curves.values()])
        seconds = np.mean([[point.seconds for point in curve] for curve in curves.values()], 0)
        label = f"{run.estimator}, {run.meta_learning_rate:g} (seeds {seeds})"
        (line,) = axes.plot(seconds, scores.mean(0), marker="o", markersize=3, label=label)
        axes.fill_between(
            seconds, scores.min(0), scores.max(0), color=line.get_color(), alpha=0.15, linewidth=0
        )
    axes.set(
        xlabel="time of meta-training without compiling [s]",
        ylabel=f"mean of log10(loss / first loss) over {WHOLE_TRAINING} inner steps, held out",
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", title="estimator, meta-learning rate", title_fontsize="small")
    figure.savefig(path, dpi=120)


def _curves_of(run: Run, points: Sequence[Point]) -> dict[int, list[Point]]:
    """Return the points of each seed."""
    own = [point for point in points if Run(*point[:2]) == run]
    seeds = dict.fromkeys(point.seed for point in own)
    return {seed: [point for point in own if point.seed == seed] for seed in seeds}


if __name__ == "__main__":
    main()
