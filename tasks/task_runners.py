"""Where mapped tasks run: in threads of this process, or in the processes of a Dask cluster."""

from concurrent.futures import Future as ConcurrentFuture
from typing import Any

from tasks import settings
from tasks.confs import EvaluationConf


def worker_has_died(future: Any) -> bool:
    """Tell whether Dask has given a task up, since each worker that it lay at has died.

    That need not be the task's doing: it may only have waited where another was computed.
    """
    of_dask = future.wrapped_future
    if isinstance(of_dask, ConcurrentFuture):
        return False
    from distributed import KilledWorker

    return of_dask.status == "error" and isinstance(of_dask.exception(), KilledWorker)


def task_runner_of(conf: EvaluationConf) -> Any:
    """Return the task runner that the conf asks for, to be entered.

    A Dask cluster is the one at the conf's address, or else one of this machine's processes for
    as long as it is needed, which nobody outside can reach.
    """
    if conf.task_runner == "threads":
        from prefect.task_runners import ThreadPoolTaskRunner

        return ThreadPoolTaskRunner(max_workers=conf.max_workers)
    from prefect_dask import DaskTaskRunner

    if conf.dask_address is not None:
        return DaskTaskRunner(address=conf.dask_address)
    return DaskTaskRunner(
        cluster_kwargs={
            "n_workers": conf.max_workers,
            "threads_per_worker": 1,
            "host": "127.0.0.1",
            "dashboard_address": None,
            "local_directory": str(settings.home() / "dask"),
        }
    )
