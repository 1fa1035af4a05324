"""Who was cancelled long ago and lives is asked to end, once."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling, Running, State

from tasks.servers import processes, unheard

LONG, SHORT = timedelta(seconds=70), timedelta(seconds=20)
FLOW = UUID(int=0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs whose process was asked to end; that of number 9 is elsewhere."""
    found: list[str] = []

    def ask(home: Path, program: str, flow_run_id: str) -> bool:
        assert (home, program) == (Path("home"), "worker")
        if flow_run_id == str(UUID(int=9)):
            return False
        found.append(flow_run_id)
        return True

    monkeypatch.setattr(processes, "ask_to_end", ask)
    return found


def run(number: int, state: State, ago: timedelta) -> FlowRun:
    timed = state.model_copy(update={"timestamp": datetime.now(UTC) - ago})
    return FlowRun(id=UUID(int=number), flow_id=FLOW, name=str(number), state=timed)


def test_only_who_was_cancelled_long_ago_and_was_not_told_is_asked_to_end(
    asked: list[str],
) -> None:
    runs = [
        run(1, Cancelling(), LONG),
        run(2, Cancelling(), SHORT),
        run(3, Running(), LONG),
        run(4, Cancelling(), LONG),
        run(9, Cancelling(), LONG),
    ]
    found = unheard.tell(runs, Path("home"), {str(UUID(int=4))})
    assert [one.name for one in found] == ["1"]
    assert asked == [str(UUID(int=1))]
