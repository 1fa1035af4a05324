"""What conf/operations/deployments.yaml may say."""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from tasks import settings
from tasks.conf_errors import ConfError
from tasks.confs import StageConf
from tasks.together import MOST_PROCESSES
from tasks.yaml_files import YamlError, read_yaml

FILE_VARIABLE = "LOPT_DEPLOYMENTS"
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=60)]
Limit = Annotated[int, Field(ge=1, le=1000)]
DIVISIBLE = ("full_cycle", "meta_train")
"""Flows that several processes can work on."""


class QueueConf(StageConf):
    """A queue of the work pool."""

    concurrency_limit: Limit | None = Field(
        default=None, description="Runs of this queue at once; null for as many as the pool takes."
    )


class WorkPoolConf(StageConf):
    """Where the runs of all deployments wait for a worker."""

    name: Name = Field(default="lopt", description="Name of the work pool.")
    kind: Name = Field(
        default="process", description="What its workers start: processes, or jobs of a cluster."
    )
    template: str | None = Field(
        default=None,
        description="File of conf/ with the base job template; null for that of processes.",
    )
    concurrency_limit: Limit | None = Field(
        default=None, description="Runs of all queues at once; null for any number."
    )
    queues: dict[Name, QueueConf] = Field(
        default={}, description="Queues of the pool by name, such as one for all that meta-trains."
    )

    @model_validator(mode="after")
    def _described(self) -> "WorkPoolConf":
        if self.kind != "process" and self.template is None:
            raise ValueError(f"kind: {self.kind!r} needs a template; Prefect's own knows no lopt")
        return self


class ScheduleConf(StageConf):
    """When a deployment is run by itself."""

    cron: str = Field(description='Times in cron\'s five fields, such as "0 2 * * *".')
    time_zone: str = Field(
        default="Etc/UTC", description="Whose clock that is, such as Europe/Vienna."
    )
    active: bool = Field(
        default=True,
        description="Whether it is on when it is declared first; then Prefect's switch says it.",
    )

    @model_validator(mode="after")
    def _possible(self) -> "ScheduleConf":
        # Prefect's own rules: what it would refuse later is refused before anything is changed.
        from prefect.client.schemas.schedules import CronSchedule

        try:
            CronSchedule(cron=self.cron, timezone=self.time_zone)
        except ValidationError as error:
            said = "; ".join(detail["msg"] for detail in error.errors(include_url=False))
            raise ValueError(f"{self.cron!r} in {self.time_zone}: {said}") from None
        return self


class DeploymentConf(StageConf):
    """A flow with values filled in, which people and schedules start."""

    flow: str = Field(
        pattern=r"^[a-z][a-z0-9_]*$", description="Module of flows/ that has a flow of this name."
    )
    name: Name = Field(description="What tells it from other deployments of the flow.")
    description: str = Field(min_length=1, description="What the form says above the parameters.")
    queue: Name = Field(description="Queue of the work pool.")
    tags: tuple[Name, ...] = Field(
        default=(), strict=False, description="Tags of all its runs, to filter by."
    )
    conf: str | None = Field(
        default=None, description="File of conf/ whose values fill the form; null for the defaults."
    )
    parameters: dict[str, Any] = Field(
        default={}, description="Values of parameters that no conf has."
    )
    processes: int = Field(
        default=1,
        ge=1,
        le=MOST_PROCESSES,
        description="Processes on the worker's host that meta-train together.",
    )
    job_variables: dict[str, Any] = Field(
        default={}, description="Values of variables of the work pool's template, such as an image."
    )
    concurrency_limit: Limit | None = Field(
        default=None,
        description="Runs of this deployment at once; the others wait. Prefect ends a run that has "
        "such a place when its server is away for some minutes: what runs for long is better "
        "limited by its queue.",
    )
    schedule: ScheduleConf | None = Field(
        default=None, description="When it is run by itself; null for never."
    )

    @model_validator(mode="after")
    def _divisible(self) -> "DeploymentConf":
        if self.processes > 1 and self.flow not in DIVISIBLE:
            raise ValueError(
                f"processes: {self.processes} is not allowed for {self.flow}; allowed: 1, or one "
                f"of the flows {', '.join(DIVISIBLE)}"
            )
        if self.processes > 1 and "command" in self.job_variables:
            raise ValueError("processes and job_variables.command: allowed is one of the two")
        return self


class DeploymentsConf(StageConf):
    """The whole file."""

    work_pool: WorkPoolConf = Field(description="The one work pool.")
    deployments: tuple[DeploymentConf, ...] = Field(
        strict=False, min_length=1, description="What there is to run."
    )

    @model_validator(mode="after")
    def _consistent(self) -> "DeploymentsConf":
        names = [(one.flow, one.name) for one in self.deployments]
        for flow, name in names:
            if names.count((flow, name)) > 1:
                raise ValueError(f"{flow} has two deployments called {name}")
        for one in self.deployments:
            if one.queue not in self.work_pool.queues:
                known = ", ".join(self.work_pool.queues)
                raise ValueError(f"{one.flow}/{one.name}: no queue {one.queue!r} among {known}")
        return self


def deployments_file() -> Path:
    """Return the file: `LOPT_DEPLOYMENTS`, else that of the repository."""
    given = os.environ.get(FILE_VARIABLE)
    own = settings.REPOSITORY / "conf" / "operations" / "deployments.yaml"
    return Path(given).absolute() if given else own


def read_deployments() -> DeploymentsConf:
    """Return what the file declares.

    Raises `ConfError` with a line for every mistake.

    **Example**

    ```python
    read_deployments().deployments[0].flow  # 'full_cycle'
    ```
    """
    path = deployments_file()
    try:
        return DeploymentsConf.model_validate(read_yaml(path) or {})
    except YamlError as error:
        raise ConfError([str(error)]) from None
    except ValidationError as error:
        raise ConfError([f"{path}: {line}" for line in _lines(error)]) from None


def _lines(error: ValidationError) -> list[str]:
    # Lists of models: `conf_errors.explain` knows only sections.
    return [
        f"{'.'.join(map(str, detail['loc'])) or 'the file'}: {detail['msg']}"
        for detail in error.errors(include_url=False)
    ]
