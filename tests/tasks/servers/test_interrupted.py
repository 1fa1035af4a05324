"""What becomes of a run whose process has ended, by the states that Prefect has of it."""

import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.client.schemas.objects import State, StateType

from tasks.servers import interrupted

pytestmark = pytest.mark.filterwarnings("default")


class Server:
    """A Prefect server with one run, of which it has these states."""

    def __init__(self, *types: StateType) -> None:
        self.states = [State(type=one) for one in types]
        self.set: list[StateType] = []

    @property
    def run(self) -> Any:
        return SimpleNamespace(
            id=uuid.uuid4(), name="run", state=self.states[-1], run_count=1, flow_id=None
        )

    def read_flow_run_states(self, _: uuid.UUID) -> list[State]:
        return self.states

    def set_flow_run_state(self, _: uuid.UUID, state: State, *, force: bool) -> None:
        assert force
        self.set.append(state.type)


RUNNING, CANCELLING, CRASHED = StateType.RUNNING, StateType.CANCELLING, StateType.CRASHED


@pytest.mark.parametrize(
    ("states", "goes_on", "then"),
    [
        ((RUNNING,), True, [StateType.SCHEDULED]),
        ((RUNNING, CRASHED), True, [StateType.SCHEDULED]),
        ((RUNNING, CANCELLING), False, [StateType.CANCELLED]),
        # By the signal that cancels it, before the worker has said that it is cancelled.
        ((RUNNING, CANCELLING, CRASHED), False, [StateType.CANCELLED]),
        ((RUNNING, CANCELLING, CRASHED, RUNNING, CRASHED), True, [StateType.SCHEDULED]),
        ((CRASHED,), True, [StateType.SCHEDULED]),
        ((RUNNING, StateType.COMPLETED), False, []),
        ((RUNNING, StateType.CANCELLED), False, []),
        ((RUNNING, StateType.SCHEDULED), False, []),
    ],
)
def test_what_was_lost_goes_on_and_what_was_being_cancelled_is_cancelled(
    states: tuple[StateType, ...], goes_on: bool, then: list[StateType]
) -> None:
    server: Any = Server(*states)
    assert interrupted._again(server, server.run, "Its process was lost.") is goes_on
    assert server.set == then
