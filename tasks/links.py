"""From a run in Prefect to its run in MLflow, and back: where both have servers."""

import os
from collections.abc import Mapping
from urllib.parse import urlencode

from prefect.artifacts import create_link_artifact
from prefect.runtime import flow_run
from prefect.utilities.urls import url_for

from tasks import settings, tags

UI_VARIABLE = "LOPT_MLFLOW_UI_URL"
"""Where a browser finds MLflow, if that is not where flows do."""
NOTE_BEGINS = "[Flow run"
"""What our note of a run begins with."""
NO_TAGS: Mapping[str, str] = {}


def mlflow_page(experiment_id: str, mlflow_run_id: str) -> str | None:
    """Return the page of a run, `None` where MLflow has no server.

    **Example**

    ```python
    mlflow_page("1", "0a1b")  # 'http://127.0.0.1:5000/#/experiments/1/runs/0a1b?workflowType=...'
    ```
    """
    address = _address()
    if address is None:
        return None
    # Without the workflow MLflow shows its pages for language models.
    page = f"#/experiments/{experiment_id}/runs/{mlflow_run_id}?workflowType=machine_learning"
    return f"{address}/{page}"


def artifact_address(mlflow_run_id: str, file: str) -> str | None:
    """Return where a browser finds a file of a run, `None` where MLflow has no server.

    **Example**

    ```python
    artifact_address("0a1b", "plots/gate.png")  # 'http://127.0.0.1:5000/get-artifact?path=...'
    ```
    """
    address = _address()
    if address is None:
        return None
    query = urlencode({"path": file, "run_uuid": mlflow_run_id})
    return f"{address}/get-artifact?{query}"


def flow_run_page() -> str | None:
    """Return the page of the flow run that this is a part of, `None` where nobody could open it."""
    # Without an address Prefect has a server of its own that ends with the run.
    flow_run_id = flow_run.get_id()
    if not os.environ.get("PREFECT_API_URL") or flow_run_id is None:
        return None
    return url_for("flow-run", obj_id=flow_run_id)


def tags_of_flow_run(before: Mapping[str, str] = NO_TAGS) -> dict[str, str | None]:
    """Return tags that lead from a run in MLflow to its flow run; the note is on its first page.

    `before` are those of a run that is resumed, where a note of somebody else stays.
    """
    page = flow_run_page()
    ids = {tags.FLOW_RUN_ID: flow_run.get_id(), tags.FLOW_RUN_URL: page}
    if not before.get(tags.NOTE, NOTE_BEGINS).startswith(NOTE_BEGINS):
        return ids
    return {**ids, tags.NOTE: page and f"{NOTE_BEGINS} {flow_run.get_name()} in Prefect]({page})"}


def show_mlflow_run(experiment_id: str, mlflow_run_id: str) -> None:
    """Add a link to the run in MLflow to the artifacts of this flow run, if there is one."""
    page = mlflow_page(experiment_id, mlflow_run_id)
    if page is None or flow_run.get_id() is None:
        return
    create_link_artifact(
        link=page,
        link_text="The run in MLflow: params, metrics, plots and files",
        key="mlflow-run",
        description="Curves, plots and files of this run are in MLflow.",
    )


def _address() -> str | None:
    """Return where a browser finds MLflow, `None` where it has no server."""
    address = os.environ.get(UI_VARIABLE) or settings.tracking_place()
    return address.rstrip("/") if address.startswith("http") else None
