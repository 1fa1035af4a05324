"""What the machine does while a run works: its cores, memory, disk, network and GPUs, in MLflow."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tasks import settings
from tasks.tracking_store import client, is_away, without_patience

SECONDS_TO_END = 10.0


class Monitoring:
    """A thread that reads and logs, begun again where it has ended: an outage of MLflow ends it."""

    def __init__(self, mlflow_run_id: str) -> None:
        self._mlflow_run_id = mlflow_run_id
        self._begin()

    def renew(self) -> None:
        """Begin it again if it has ended and MLflow answers, which knows how far it had come."""
        if any(thread.is_alive() for thread in self._threads):
            return
        try:
            with without_patience():
                client().get_run(self._mlflow_run_id)
                self._begin()
        except Exception as error:
            if not is_away(error):
                raise

    def _begin(self) -> None:
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self._monitor = SystemMetricsMonitor(
            self._mlflow_run_id, resume_logging=True, tracking_uri=settings.tracking_uri()
        )
        before = set(threading.enumerate())
        self._monitor.start()
        # Its own, which it gives to nobody; another may have begun at the same moment.
        new = set(threading.enumerate()) - before
        self._threads = [one for one in new if one.name == SystemMetricsMonitor.__name__]

    def finish(self) -> None:
        """End it, and log what it has read; wait for an MLflow that is away no longer than that.

        MLflow's own patience is minutes, and what waits for them here is a thread that ends with
        the process.
        """
        ending = threading.Thread(target=self._monitor.finish, daemon=True)
        ending.start()
        ending.join(SECONDS_TO_END)


class NoMonitoring:
    """Nothing is read."""

    def renew(self) -> None:
        """Do nothing."""


@contextmanager
def logged(mlflow_run_id: str) -> Iterator[Monitoring | NoMonitoring]:
    """Log `system/...` of what is done inside, where MLflow's own switch for it is on.

    That is `MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING`, and `MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL`
    says how many seconds lie between (`tasks.settings`). A thread reads and logs them; a run that
    is gone on with goes on with theirs. https://mlflow.org/docs/latest/ml/tracking/system-metrics/
    """
    from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING

    if not MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get():
        yield NoMonitoring()
        return
    monitoring = Monitoring(mlflow_run_id)
    try:
        yield monitoring
    finally:
        monitoring.finish()
