"""Metrics of the inner level, which the library leaves to whoever keeps the time."""

import time

from tasks.confs import MetaTrainingConf
from tasks.references import EnsembleReference


class InnerSteps:
    """Counts and times the inner steps of one segment of a meta-training."""

    def __init__(self, conf: MetaTrainingConf, ensemble: EnsembleReference) -> None:
        self._steps = ensemble.programs * conf.problems * conf.unroll_steps
        self._before: float | None = None

    def metrics(self, meta_step: int) -> dict[str, float]:
        """Return how many steps the run has taken after a meta-step, and how many a second now.

        The first meta-step of a segment has no speed: it may have been compiled meanwhile.
        """
        now, before = time.monotonic(), self._before
        self._before = now
        taken = {"inner/steps": float(self._steps * meta_step)}
        if before is None or now <= before:
            return taken
        return taken | {"inner/steps_per_second": self._steps / (now - before)}
