"""What Prefect's page of a flow run shows of its stages."""

from typing import Any

import httpx
import pytest
from prefect import flow, task

from tasks import progress_artifacts, terminal

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("server")]


def shown(key: str) -> Any:
    """The newest artifact of a key."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
        )
    return max(found, key=lambda one: one.created)


def test_a_stage_is_a_bar_of_its_flow_run_that_moves_and_says_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress_artifacts, "SECONDS_BETWEEN_UPDATES", 0.0)
    seen = []

    @task
    def step(number: int) -> None:
        terminal.reach(number, f"note {number}")

    @flow
    def work() -> None:
        with terminal.stage("Long work", 4):
            seen.append(shown("progress-long-work"))
            step(1)
            step(3)

    run = work(return_state=True).state_details.flow_run_id
    (first,) = seen
    assert (first.type, first.data, first.description) == ("progress", 0.0, "Long work: 0/4")
    last = shown("progress-long-work")
    assert (last.id, last.data) == (first.id, 75.0)
    assert last.description.startswith("Long work: 3/4, 0:0")
    assert last.description.endswith(" left, note 3")
    # Of the flow and not of the task in which it was moved.
    assert (last.flow_run_id, last.task_run_id) == (run, None)


def test_a_server_that_does_not_answer_costs_a_line_and_no_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nobody(*_: Any) -> None:
        raise httpx.ConnectError("nobody there")

    monkeypatch.setattr(progress_artifacts.ArtifactStage, "_update", nobody)

    @flow
    def work() -> int:
        with terminal.stage("work", 2):
            terminal.reach(2)
        return 5

    assert work() == 5
    said = "Prefect's page does not show how far work came: nobody there"
    assert said in capsys.readouterr().out


def test_outside_of_a_flow_nothing_is_asked_of_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_artifacts, "ArtifactStage", None)
    with terminal.stage("work", 2):
        terminal.reach(2)
