"""Names of runs that say what they are: flow, what it works on, date, and a digest of the conf."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect.runtime import flow_run
from pydantic import BaseModel


def run_name() -> str:
    """Return the name of the flow run that begins, for Prefect and for MLflow.

    Two runs with the same digest were given the same values.
    """
    return name_of(flow_run.get_flow_name() or "flow", flow_run.get_parameters())


def name_of(flow: str, parameters: Mapping[str, Any]) -> str:
    """Return the name of a run of a flow that is given these values.

    **Example**

    ```python
    name_of("meta-train", {"meta_training": conf})
    # 'meta-train HierarchicalRNN-release 2026-11-26 3fa9c2'
    ```
    """
    parts = [flow, *_subject(parameters), f"{datetime.now(UTC):%Y-%m-%d}", _digest(parameters)]
    return " ".join(parts)


def _subject(parameters: Mapping[str, Any]) -> list[str]:
    """Return what the run is about, by the first of the sections that says it."""
    for section, say in _SUBJECTS.items():
        if section in parameters:
            return [say(parameters[section])]
    return []


_SUBJECTS: Mapping[str, Any] = {
    "figure": lambda conf: str(conf.number),
    "meta_training": lambda conf: f"{conf.architecture}-{conf.preset}",
    "publication": lambda conf: f"{conf.model_name}@{conf.alias}",
    "ensemble": lambda conf: Path(conf.entries).stem,
    "datasets": lambda conf: "+".join(conf.names),
}


def _digest(parameters: Mapping[str, Any]) -> str:
    def plain(value: Any) -> Any:
        return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)

    # Who called it decides nothing.
    values = {k: plain(v) for k, v in parameters.items() if k != "parent_mlflow_run_id"}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:6]
