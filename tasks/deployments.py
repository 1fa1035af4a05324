"""The deployments of conf/operations/deployments.yaml, in Prefect's server."""

import shlex
from typing import TYPE_CHECKING, Any

from tasks import settings, together
from tasks.conf_files import SECTIONS, read_conf
from tasks.deployment_confs import (
    DeploymentConf,
    DeploymentsConf,
    ScheduleConf,
    WorkPoolConf,
    read_deployments,
)
from tasks.forms import form_schema
from tasks.tags import DECLARED
from tasks.work_pools import declare_work_pool

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.actions import DeploymentScheduleCreate


def declare_deployments() -> list[str]:
    """Make all deployments as the file says, and remove those that it no longer has; their names.

    Raises `ConfError` before anything is changed if the file or a conf that it names is wrong.
    """
    from prefect.client.orchestration import get_client

    conf = read_deployments()
    parameters = [filled_in(one) for one in conf.deployments]
    flows = [load_flow(one.flow) for one in conf.deployments]
    with get_client(sync_client=True) as client:
        declare_work_pool(client, conf.work_pool)
        names = [
            _declare(client, conf.work_pool, *one)
            for one in zip(conf.deployments, flows, parameters, strict=True)
        ]
        _remove_others(client, conf, names)
    return names


def load_flow(name: str) -> "Flow[..., Any]":
    """Return the flow of a module of flows/, as the processes that run it will load it."""
    from prefect.flows import load_flow_from_entrypoint

    # Without the last one a flow whose import fails would be deployed all the same.
    return load_flow_from_entrypoint(f"flows.{name}.{name}", use_placeholder_flow=False)


def filled_in(conf: DeploymentConf) -> dict[str, Any]:
    """Return the values that the form is filled in with: all keys of the conf's sections.

    Raises `ConfError` if its conf is wrong.
    """
    path = None if conf.conf is None else settings.REPOSITORY / conf.conf
    values = read_conf(path, [], SECTIONS).model_dump(mode="json")
    taken = load_flow(conf.flow).parameters.properties
    sections = {name: value for name, value in values.items() if name in taken}
    return {**sections, **conf.parameters}


def _declare(
    client: "SyncPrefectClient",
    work_pool: WorkPoolConf,
    conf: DeploymentConf,
    flow: "Flow[..., Any]",
    parameters: dict[str, Any],
) -> str:
    from prefect.client.schemas.actions import DeploymentUpdate
    from prefect.deployments.runner import EntrypointType

    deployment = flow.to_deployment(
        conf.name,
        description=conf.description,
        tags=[DECLARED, *conf.tags],
        parameters=parameters,
        concurrency_limit=conf.concurrency_limit,
        schedules=_schedules(conf.schedule, _switch(client, f"{flow.name}/{conf.name}")),
        work_pool_name=work_pool.name,
        work_queue_name=conf.queue,
        job_variables=job_variables(work_pool, conf),
        # By the name of its module: a flow's folder on the path would hide other modules.
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    deployment_id = deployment.apply()
    schema = form_schema(flow.parameters.model_dump(exclude_unset=True))
    client.update_deployment(deployment_id, DeploymentUpdate(parameter_openapi_schema=schema))
    return deployment.full_name


def job_variables(work_pool: WorkPoolConf, conf: DeploymentConf) -> dict[str, Any]:
    """Return what a worker of the pool is told of the process or job to start.

    **Example**

    ```python
    job_variables(WorkPoolConf(), conf)["working_dir"]  # where conf/ is
    ```
    """
    # Confs name their files from the repository's root; an image has its own.
    said = {"working_dir": str(settings.REPOSITORY)} if work_pool.kind == "process" else {}
    if conf.processes > 1:
        said["command"] = shlex.join(together.command(conf.processes))
    return {**said, **conf.job_variables}


def _switch(client: "SyncPrefectClient", name: str) -> bool | None:
    """Return how a person has left the switch of a schedule, `None` where there is none yet."""
    from prefect.exceptions import ObjectNotFound

    try:
        found = client.read_deployment_by_name(name)
    except ObjectNotFound:
        return None
    return found.schedules[0].active if found.schedules else None


def _schedules(conf: ScheduleConf | None, switch: bool | None) -> "list[DeploymentScheduleCreate]":
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import CronSchedule

    if conf is None:
        return []
    schedule = CronSchedule(cron=conf.cron, timezone=conf.time_zone)
    active = conf.active if switch is None else switch
    return [DeploymentScheduleCreate(schedule=schedule, active=active)]


def _remove_others(client: "SyncPrefectClient", conf: DeploymentsConf, names: list[str]) -> None:
    """Remove what the file had declared once and no longer does."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags

    declared = DeploymentFilter(tags=DeploymentFilterTags(all_=[DECLARED]))
    for found in client.read_deployments(deployment_filter=declared):
        flow = client.read_flow(found.flow_id)
        if found.work_pool_name == conf.work_pool.name and f"{flow.name}/{found.name}" not in names:
            client.delete_deployment(found.id)
