"""The work pool and its queues, in Prefect's server."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import promotion, settings
from tasks.conf_errors import ConfError
from tasks.deployment_confs import WorkPoolConf, read_deployments
from tasks.yaml_files import YamlError, read_yaml

KEYS = {"job_configuration", "variables"}
"""What a base job template has."""

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient


def declare_work_pool(client: "SyncPrefectClient", conf: WorkPoolConf) -> None:
    """Make the work pool and its queues with the limits of the conf, and that of promotions."""
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectNotFound

    try:
        found = client.read_work_pool(conf.name)
        if found.type != conf.kind:
            raise ConfError([f"work_pool.kind: {_is_another(conf, found.type)}"])
        changes = WorkPoolUpdate(concurrency_limit=conf.concurrency_limit)
        # Without a file it stays as a person may have changed it.
        if conf.template is not None:
            changes.base_job_template = template(conf)
        client.update_work_pool(conf.name, changes)
    except ObjectNotFound:
        client.create_work_pool(
            WorkPoolCreate(
                name=conf.name,
                type=conf.kind,
                base_job_template=template(conf),
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


def template(conf: WorkPoolConf) -> dict[str, Any]:
    """Return the base job template of the pool: of its file, or Prefect's own for processes.

    Raises `ConfError` for a file that is no template.
    """
    if conf.template is not None:
        return _read(settings.REPOSITORY / conf.template)
    from prefect.workers.process import ProcessWorker

    return ProcessWorker.get_default_base_job_template()


def _is_another(conf: WorkPoolConf, kind: str) -> str:
    return (
        f"{conf.kind!r} is not allowed, for the work pool {conf.name} is of the kind {kind!r} in "
        "Prefect, which cannot be changed; allowed: that, or a pool of another name"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        found = read_yaml(path)
    except YamlError as error:
        raise ConfError([str(error)]) from None
    if not isinstance(found, dict) or set(found) != KEYS:
        raise ConfError([f"{path}: is no base job template; allowed: {' and '.join(sorted(KEYS))}"])
    return found


def _declare_queues(client: "SyncPrefectClient", conf: WorkPoolConf) -> None:
    known = {queue.name: queue for queue in client.read_work_queues(conf.name)}
    for name, queue in conf.queues.items():
        if name in known:
            client.update_work_queue(known[name].id, concurrency_limit=queue.concurrency_limit)
        else:
            client.create_work_queue(
                name, concurrency_limit=queue.concurrency_limit, work_pool_name=conf.name
            )
