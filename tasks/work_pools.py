"""The work pool and its queues, in Prefect's server."""

from datetime import datetime
from typing import TYPE_CHECKING

from tasks import promotion
from tasks.deployment_confs import WorkPoolConf, read_deployments

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

KIND = "process"


def declare_work_pool(client: "SyncPrefectClient", conf: WorkPoolConf) -> None:
    """Make the work pool and its queues with the limits of the conf, and that of promotions."""
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectNotFound

    try:
        client.read_work_pool(conf.name)
        changes = WorkPoolUpdate(concurrency_limit=conf.concurrency_limit)
        client.update_work_pool(conf.name, changes)
    except ObjectNotFound:
        client.create_work_pool(
            WorkPoolCreate(
                name=conf.name,
                type=KIND,
                base_job_template=_template(),
                concurrency_limit=conf.concurrency_limit,
            )
        )
    _declare_queues(client, conf)
    client.upsert_global_concurrency_limit_by_name(promotion.LIMIT, 1)


def has_worker(since: datetime | None = None) -> bool:
    """Return whether a worker has asked for work of the pool lately, or since some time."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        workers = client.read_workers_for_work_pool(read_deployments().work_pool.name)
    online = [worker.last_heartbeat_time for worker in workers if worker.status == "ONLINE"]
    return any(since is None or (beat is not None and beat >= since) for beat in online)


def _template() -> dict[str, object]:
    from prefect.workers.process import ProcessWorker

    return ProcessWorker.get_default_base_job_template()


def _declare_queues(client: "SyncPrefectClient", conf: WorkPoolConf) -> None:
    known = {queue.name: queue for queue in client.read_work_queues(conf.name)}
    for name, queue in conf.queues.items():
        if name in known:
            client.update_work_queue(known[name].id, concurrency_limit=queue.concurrency_limit)
        else:
            client.create_work_queue(
                name, concurrency_limit=queue.concurrency_limit, work_pool_name=conf.name
            )
