"""Segments of flows.meta_train as a user runs them, and the same with nobody told of them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import DEFAULT, patch

from tasks import meta_training, run_choice, system_metrics, terminal, tracking
from tasks.conf_files import read_conf
from tasks.confs import Conf
from tasks.curves import log_curve
from tasks.ensembles import draw_ensemble
from tasks.outbox import Outbox
from tasks.references import EnsembleReference, RunReference
from tasks.releases import LOGGED_MODEL
from tasks.tracked_inputs import log_ensemble

CONF = Path("conf/quick.yaml")
Segment = Callable[..., object]


class Segments:
    """A run with the settings of conf/quick.yaml, of which calling it takes the next segments.

    Tracked or not, all meta-steps, validations and checkpoints are taken.
    """

    def __init__(self, conf: Conf, run: RunReference, drawn: EnsembleReference) -> None:
        self._conf, self._run, self._drawn = conf.meta_training, run, drawn
        seed = self._conf.validation_seed
        self._held_out = draw_ensemble.fn(conf.ensemble.with_seed(seed))
        self._done = 0
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


class Once:
    """The seconds of what is tracked once a run, and not with each segment."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Add what is done inside."""
        begun = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - begun


@contextmanager
def begun(once: Once) -> Iterator[Segments]:
    """Begin a run, tracked from its beginning to its end."""
    conf = read_conf(CONF, [], list(Conf.model_fields))
    drawn = draw_ensemble.fn(conf.ensemble)
    confs = {"ensemble": conf.ensemble, "meta_training": conf.meta_training}
    with run_choice.opened(conf.meta_training, drawn.digest) as folder:
        # The store is made once a home, not once a run.
        tracking.experiment_id()
        opened = tracking.tracked("meta-train", confs)
        with once.timed():
            mlflow_run_id = opened.__enter__()
            log_ensemble(mlflow_run_id, drawn, "meta-training")
        segments = Segments(conf, folder.noted(mlflow_run_id=mlflow_run_id).reference(), drawn)
        yield segments
        with once.timed():
            segments.log_end()
            opened.__exit__(None, None, None)
