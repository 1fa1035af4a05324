"""Which runs begin again, on a real Prefect server."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import (
    AwaitingRetry,
    Cancelling,
    Completed,
    Crashed,
    Pending,
    Running,
    Scheduled,
    State,
)

from tasks.servers import interrupted
from tasks.servers.interrupted import MOST_RUNS, schedule_again, schedule_unchanged

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("server")]

WHY = "It was so."


@flow
def work() -> None:
    """Is never run."""


@pytest.fixture
def begun() -> Callable[..., FlowRun]:
    """A function that gives a run of these states, one after the other."""

    def begun(*states: Callable[[], State[Any]]) -> FlowRun:
        with get_client(sync_client=True) as client:
            run = client.create_flow_run(work)
            return after(client, run.id, *states)

    return begun


def after(
    client: SyncPrefectClient, flow_run_id: UUID, *states: Callable[[], State[Any]]
) -> FlowRun:
    for state in states:
        client.set_flow_run_state(flow_run_id, state(), force=True)
    return client.read_flow_run(flow_run_id)


def state_of(run: FlowRun) -> State[Any]:
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(run.id).state
    assert state is not None
    return state


@pytest.mark.parametrize("last", [Running, Crashed, Pending])
def test_what_was_interrupted_goes_on(
    begun: Callable[..., FlowRun], last: Callable[[], State[Any]]
) -> None:
    run = begun(Pending, Running, last)
    assert schedule_unchanged([run], WHY) == [run.name]
    state = state_of(run)
    assert state.name == "AwaitingRetry"
    assert state.message == f"{WHY} It goes on from its last checkpoint."


@pytest.mark.parametrize("last", [Completed, AwaitingRetry])
def test_what_has_ended_or_waits_already_is_left_alone(
    begun: Callable[..., FlowRun], last: Callable[[], State[Any]]
) -> None:
    run = begun(Pending, Running, last)
    assert schedule_again([run.id], WHY) == []
    assert state_of(run).id == run.state_id


def test_what_somebody_has_taken_up_since_it_was_seen_is_left_alone(
    begun: Callable[..., FlowRun],
) -> None:
    seen = begun(Pending, Running, Crashed)
    with get_client(sync_client=True) as client:
        after(client, seen.id, AwaitingRetry, Pending, Running)
    assert schedule_unchanged([seen], WHY) == []
    assert state_of(seen).is_running()


def test_what_somebody_has_removed_is_no_error(begun: Callable[..., FlowRun]) -> None:
    run = begun(Running)
    with get_client(sync_client=True) as client:
        client.delete_flow_run(run.id)
    assert schedule_unchanged([run], WHY) == schedule_again([run.id], WHY) == []


@pytest.mark.parametrize("dies", [(Pending, Running, Crashed), (Pending,)])
def test_what_dies_each_time_is_given_up_and_told_of_once(
    begun: Callable[..., FlowRun],
    dies: tuple[Callable[[], State[Any]], ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told: list[str] = []
    monkeypatch.setattr(interrupted.alarms, "tell", lambda text, _: told.append(text))
    run = begun(*dies)
    for _ in range(MOST_RUNS - 1):
        assert schedule_unchanged([run], WHY) == [run.name]
        with get_client(sync_client=True) as client:
            run = after(client, run.id, *dies)
    assert schedule_unchanged([run], WHY) == []
    state = state_of(run)
    assert (state.name, state.is_crashed()) == ("GivenUp", True)
    said = f"{WHY} It was begun {MOST_RUNS} times; start it again by hand."
    assert state.message == said
    assert told == [f"{run.name}: crashed. {said}"]
    assert capsys.readouterr().out == f"{run.name}: {said}\n"


def test_a_night_that_is_given_up_says_at_which_time_it_is_gone_on_with() -> None:
    with get_client(sync_client=True) as client:
        # As a worker has it: filled in by the deployment, and scheduled for a time.
        time = datetime(2026, 11, 26, 2, tzinfo=UTC)
        run = client.create_flow_run(
            work, parameters={"night": {}}, state=Scheduled(scheduled_time=time)
        )
        run = after(client, run.id, *[Pending, Running, Crashed] * MOST_RUNS)
    assert schedule_unchanged([run], WHY) == []
    assert str(state_of(run).message).endswith("with the same values and at=2026-11-26T02:00Z.")


def test_what_crashed_by_being_cancelled_is_cancelled(begun: Callable[..., FlowRun]) -> None:
    """By the signal that cancels it, before its worker has said that it is."""
    run = begun(Pending, Running, Cancelling, Crashed)
    assert schedule_unchanged([run], WHY) == []
    assert state_of(run).is_cancelled()


def test_what_was_begun_again_after_that_and_crashed_goes_on(begun: Callable[..., FlowRun]) -> None:
    run = begun(Running, Cancelling, Crashed, Pending, Running, Crashed)
    assert schedule_unchanged([run], WHY) == [run.name]
