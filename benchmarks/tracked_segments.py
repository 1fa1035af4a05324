"""Segments of flows.meta_train as a user runs them, and the same with nobody told of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import DEFAULT, patch

import jax

from benchmarks.stopwatch import Stopwatch
from tasks import garbage, meta_training, run_choice, system_metrics, terminal, tracking
from tasks.conf_files import read_conf
from tasks.confs import Conf
from tasks.curves import log_curve
from tasks.ensembles import draw_ensemble
from tasks.meta_rows import MetaRows
from tasks.outbox import Outbox
from tasks.references import EnsembleReference, RunReference
from tasks.releases import LOGGED_MODEL
from tasks.tracked_inputs import log_ensemble

CONF = Path("conf/quick.yaml")
Segment = Callable[..., object]


class Segments:
    """A run with the settings of conf/quick.yaml, of which calling it takes the next segments.

    Tracked or not, all meta-steps, validations and checkpoints are taken. `beginning` is what it
    takes to compile them, of which nobody is told.
    """

    def __init__(self, conf: Conf, run: RunReference, drawn: EnsembleReference) -> None:
        self._conf, self._run, self._drawn = conf.meta_training, run, drawn
        seed = self._conf.validation_seed
        self._held_out = draw_ensemble.fn(conf.ensemble.with_seed(seed))
        self._done = 0
        self.beginning = Stopwatch()
        with self.beginning.running():
            self._advance(meta_training.meta_train_segment.fn, self._conf.meta_steps_per_dispatch)

    @property
    def of_a_run(self) -> float:
        """How many segments the whole run has."""
        return self._conf.meta_steps / self._conf.segment_meta_steps

    def tracked(self, count: int) -> None:
        """Take segments as Prefect's tasks, with rows and the machine's metrics in MLflow."""
        with (
            system_metrics.logged(self._run.mlflow_run_id),
            terminal.stage("meta-training", self._conf.meta_steps, self._done),
        ):
            for _ in range(count):
                self._advance(meta_training.meta_train_segment, self._conf.segment_meta_steps)

    def untracked(self, count: int) -> None:
        """Take segments of which nobody is told anything."""
        with nobody_told():
            for _ in range(count):
                self._advance(meta_training.meta_train_segment.fn, self._conf.segment_meta_steps)

    def log_end(self) -> None:
        """Log what a run has at its end: the curve of its losses, and the optimizer."""
        from lopt import registry

        log_curve(self._run)
        state = meta_training.initial_meta_state(self._run, self._conf, self._drawn)
        registry.log_model(state.optimizer, LOGGED_MODEL, run_id=self._run.mlflow_run_id)

    def _advance(self, segment: Segment, meta_steps: int) -> None:
        self._done += meta_steps
        segment(self._run, self._conf, self._drawn, self._held_out, self._done)


@contextmanager
def nobody_told() -> Iterator[None]:
    """Have rows put nowhere: neither on disk nor to MLflow."""
    with patch.multiple(Outbox, keep=DEFAULT, send_if_there=DEFAULT):
        yield


class Telling:
    """The seconds in which a run tells somebody of a segment, and so does nothing else."""

    def __init__(self) -> None:
        self.engine, self.rows, self.disk = Stopwatch(), Stopwatch(), Stopwatch()
        self.mlflow, self.terminal = Stopwatch(), Stopwatch()

    def seconds(self) -> dict[str, float]:
        """Return them by who is told."""
        return {name: watch.seconds for name, watch in vars(self).items()}

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Time what is done inside, which is nothing but tracked segments."""
        task = meta_training.meta_train_segment
        with (
            patch.object(Outbox, "keep", self.disk.of(Outbox.keep)),
            patch.object(Outbox, "send_if_there", self.mlflow.of(Outbox.send_if_there)),
            patch.object(terminal, "reach", self.terminal.of(terminal.reach)),
            patch.object(MetaRows, "of", _once_there(self.rows.of(MetaRows.of))),
            # What is outside of the function that the task is made of is the engine's.
            patch.object(task, "fn", self.engine.halted_in(task.fn)),
            self.engine.running(),
        ):
            yield


def _once_there(rows_of: Callable[..., Any]) -> Callable[..., Any]:
    """Wait for the device first, which has to be done in any case."""

    def waited(rows: MetaRows, metrics: Any) -> Any:
        jax.block_until_ready(metrics.values)
        return rows_of(rows, metrics)

    return waited


@contextmanager
def begun(once: Stopwatch) -> Iterator[Segments]:
    """Begin a run, tracked from its beginning to its end."""
    conf = read_conf(CONF, [], list(Conf.model_fields))
    drawn = draw_ensemble.fn(conf.ensemble)
    confs = {"ensemble": conf.ensemble, "meta_training": conf.meta_training}
    with run_choice.opened(conf.meta_training, drawn.digest) as folder:
        # The store is made once a home, not once a run.
        tracking.experiment_id()
        opened = tracking.tracked("meta-train", confs)
        with once.running():
            mlflow_run_id = opened.__enter__()
            log_ensemble(mlflow_run_id, drawn, "meta-training")
        segments = Segments(conf, folder.noted(mlflow_run_id=mlflow_run_id).reference(), drawn)
        with garbage.set_aside() as settle:
            settle()
            yield segments
        with once.running():
            segments.log_end()
            opened.__exit__(None, None, None)
