"""What the machine does while a run works: its cores, memory, disk, network and GPUs, in MLflow."""

from collections.abc import Iterator
from contextlib import contextmanager

from tasks import settings


@contextmanager
def logged(mlflow_run_id: str) -> Iterator[None]:
    """Log `system/...` of what is done inside, where MLflow's own switch for it is on.

    That is `MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING`, and `MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL`
    says how many seconds lie between (`tasks.settings`). A thread reads and logs them; a run that
    is gone on with goes on with theirs. https://mlflow.org/docs/latest/ml/tracking/system-metrics/
    """
    from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    if not MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get():
        yield
        return
    monitor = SystemMetricsMonitor(
        mlflow_run_id, resume_logging=True, tracking_uri=settings.tracking_uri()
    )
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()
