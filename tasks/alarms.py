"""Telling people of a flow that has failed: in its log, and by a webhook of the environment."""

import os
from typing import TYPE_CHECKING, Any

from prefect.logging import get_logger

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import FlowRun
    from prefect.states import State

WEBHOOK_VARIABLE = "LOPT_ALARM_WEBHOOK"
"""Address that is sent `{"text": ...}` by POST, which chat programs take; it may hold a secret."""
SECONDS = 10.0


def report(flow: "Flow[..., Any]", flow_run: "FlowRun", state: "State[Any]") -> None:
    """Say that a flow run has failed; for Prefect's hooks, where nothing may fail any more."""
    logger = get_logger("lopt.alarms")
    text = f"{flow.name} {flow_run.name}: {state.name}. {state.message or ''}".strip()
    if page := _page(flow_run):
        text += f" {page}"
    logger.error(text)
    address = os.environ.get(WEBHOOK_VARIABLE)
    if not address:
        return
    import httpx

    try:
        httpx.post(address, json={"text": text}, timeout=SECONDS).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # Without the address, which may be a secret: the error's own text has it.
        logger.error(f"{WEBHOOK_VARIABLE} could not be told: {type(error).__name__}")


def _page(flow_run: "FlowRun") -> str | None:
    from prefect.utilities.urls import url_for

    return url_for("flow-run", obj_id=flow_run.id) if os.environ.get("PREFECT_API_URL") else None
