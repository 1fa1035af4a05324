"""What `make up` can be told: by conf/operations/servers.yaml, or by the environment."""

import os
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from tasks import settings
from tasks.conf_errors import ConfError, explain
from tasks.confs import StageConf
from tasks.yaml_files import YamlError, parse_yaml, read_yaml

PREFIX = "LOPT_"


class ServersConf(StageConf):
    """Where the servers listen, on this machine alone, and how long they may take."""

    prefect_port: int = Field(
        default=4200, ge=1, le=65535, description="Port of Prefect's user interface and API."
    )
    mlflow_port: int = Field(
        default=5000, ge=1, le=65535, description="Port of MLflow's user interface and API."
    )
    start_seconds: float = Field(
        default=180.0, gt=0, le=3600, description="How long all may take until they answer."
    )
    stop_seconds: float = Field(
        default=60.0, gt=0, le=3600, description="How long running flows may take to end."
    )

    @model_validator(mode="after")
    def _apart(self) -> "ServersConf":
        if self.prefect_port == self.mlflow_port:
            raise ValueError("prefect_port and mlflow_port have to differ")
        return self

    @property
    def prefect_url(self) -> str:
        """Where Prefect's user interface is."""
        return f"http://127.0.0.1:{self.prefect_port}"

    @property
    def mlflow_url(self) -> str:
        """Where MLflow's user interface is."""
        return f"http://127.0.0.1:{self.mlflow_port}"


def file() -> Path:
    """Return where the values are."""
    return settings.REPOSITORY / "conf" / "operations" / "servers.yaml"


def read_servers() -> ServersConf:
    """Return the values of the file, with those of the environment put in.

    Raises `ConfError` with a line for every mistake.

    **Example**

    ```python
    os.environ["LOPT_MLFLOW_PORT"] = "5001"
    read_servers().mlflow_url  # 'http://127.0.0.1:5001'
    ```
    """
    try:
        values = {**(read_yaml(file()) or {}), **_from_environment()}
        return ServersConf.model_validate(values)
    except YamlError as error:
        raise ConfError([str(error)]) from None
    except ValidationError as error:
        raise _explained(error) from None


def _from_environment() -> dict[str, Any]:
    named = {key: os.environ.get(PREFIX + key.upper()) for key in ServersConf.model_fields}
    return {key: parse_yaml(text) for key, text in named.items() if text}


def _explained(error: ValidationError) -> ConfError:
    if all(detail["loc"] for detail in error.errors(include_url=False)):
        return explain(error, ServersConf)
    return ConfError([detail["msg"].removeprefix("Value error, ") for detail in error.errors()])
