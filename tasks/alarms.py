"""Telling people of a flow that has failed: in its log, and by a webhook of the environment."""

import os
from typing import TYPE_CHECKING, Any

from tasks.settings import without_passwords

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import FlowRun
    from prefect.states import State

WEBHOOK_VARIABLE = "LOPT_ALARM_WEBHOOK"
"""Address that is sent `{"text": ...}` by POST, which chat programs take; it may hold a secret."""
SECONDS = 10.0
LEFT_OUT = "LeftOut"
"""Prefect's state of what was too late to be done, which is no failure, but to be told of."""


def report(
    flow: "Flow[..., Any]", flow_run: "FlowRun", state: "State[Any]", advice: str = ""
) -> None:
    """Say that a flow run has failed; for Prefect's hooks, where nothing may fail any more.

    A run that is interrupted goes on, and is no failure. One that is given up is told of by whoever
    gives it up.
    """
    # Not above: `make up` and `make down` import this, and set what Prefect reads when imported.
    from prefect.logging.loggers import flow_run_logger

    words = (f"{flow.name} {flow_run.name}: {state.name}.", state.message, advice)
    said = " ".join(filter(None, words))
    text = without_passwords(said)
    logger = flow_run_logger(flow_run, flow)
    logger.error(text)
    if reason := tell(text, flow_run):
        logger.error(reason)


def report_left_out(flow: "Flow[..., Any]", flow_run: "FlowRun", state: "State[Any]") -> None:
    """Say that a flow run was too late to be done; of others that have completed nothing."""
    if state.name == LEFT_OUT:
        report(flow, flow_run, state)


def tell(text: str, flow_run: "FlowRun") -> str | None:
    """Send a text about a run to the webhook, if there is one; why that failed, if it did."""
    address = os.environ.get(WEBHOOK_VARIABLE)
    if not address:
        return None
    import httpx

    words = f"{without_passwords(text)} {_page(flow_run)}".strip()
    try:
        httpx.post(address, json={"text": words}, timeout=SECONDS).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # Without the address, which may be a secret: the error's own text has it.
        return f"{WEBHOOK_VARIABLE} could not be told: {type(error).__name__}"
    return None


def _page(flow_run: "FlowRun") -> str:
    from prefect.utilities.urls import url_for

    if not os.environ.get("PREFECT_API_URL"):
        return ""
    return url_for("flow-run", obj_id=flow_run.id) or ""
