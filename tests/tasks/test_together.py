import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from tasks import shared_flow_runs, together
from tasks.conf_errors import ConfError
from tasks.processes import REFUSED


@pytest.mark.parametrize(
    ("arguments", "environ", "said"),
    [
        ([], {}, "PREFECT__FLOW_RUN_ID is not set: this is a command for a worker"),
        (["--processes", "0"], {"PREFECT__FLOW_RUN_ID": "x"}, "0 is not allowed; allowed: 1 to 64"),
        (
            ["--processes", "2"],
            {"PREFECT__FLOW_RUN_ID": "x", "JAX_NUM_PROCESSES": "2"},
            "not allowed where JAX_NUM_PROCESSES is set",
        ),
    ],
)
def test_what_is_given_wrongly_is_said_in_a_line(
    arguments: list[str], environ: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PREFECT__FLOW_RUN_ID", "JAX_NUM_PROCESSES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["together", *arguments])
    with pytest.raises(SystemExit, match=said):
        together.main()


def test_each_process_here_has_a_number_of_its_own_and_all_end_with_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("JAX_PROCESS_ID", "JAX_NUM_PROCESSES", "JAX_COORDINATOR_ADDRESS")
    for name in names:
        monkeypatch.setenv(name, "")
    program = tmp_path / "told.py"
    told = " ".join(f"{{os.environ['{name}']}}" for name in names)
    program.write_text(
        f"import os, pathlib\n"
        f"path = pathlib.Path({str(tmp_path)!r}, os.environ['JAX_PROCESS_ID'])\n"
        f'path.write_text(f"{told}")\n'
    )
    monkeypatch.setattr(together, "MODULE", "told")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with together._others(3):
        mine = " ".join(together.os.environ[name] for name in names)
    number, count, address = mine.split()
    assert (number, count) == ("0", "3")
    assert address.startswith("127.0.0.1:")
    for other in ("1", "2"):
        assert (tmp_path / other).read_text() == f"{other} 3 {address}"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The states that Prefect is told of, without a server; `history` of it is what it knows."""
    said: list[tuple[str, str]] = []

    class Client:
        def __enter__(self) -> "Client":
            return self

        def __exit__(self, *arguments: object) -> None: ...

        def read_flow_run_states(self, flow_run_id: object) -> list[Any]:
            return list(history)

        def set_flow_run_state(self, flow_run_id: object, state: Any, force: bool) -> None:
            assert force
            said.append((state.type.value, state.message))

    monkeypatch.setattr("prefect.client.orchestration.get_client", lambda sync_client: Client())
    history.clear()
    return said


history: list[Any] = []


@pytest.mark.parametrize(
    ("names", "is_noted"),
    [
        (["Pending", "Running", "Cancelling", "Crashed"], True),
        (["Pending", "Running", "Crashed"], False),
        (["Pending", "Running", "Cancelling", "Completed"], False),
        (["Pending"], False),
    ],
)
def test_a_run_is_cancelled_only_if_somebody_has_cancelled_it(
    names: list[str], is_noted: bool, told: list[tuple[str, str]]
) -> None:
    import prefect.states

    cancelling = prefect.states.State(type=prefect.states.StateType.CANCELLING)
    known = {"Cancelling": lambda: cancelling}
    history.extend(known.get(name, getattr(prefect.states, name, None))() for name in names)
    shared_flow_runs._note_cancellation(uuid4())
    assert [state for state, _ in told] == (["CANCELLED"] if is_noted else [])


def test_a_conf_that_is_refused_before_the_flow_begins_is_said_in_prefect(
    told: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flow = SimpleNamespace(
        parameters=SimpleNamespace(properties={"meta_training": {}, "run_directory": {}}),
        fn=SimpleNamespace(__name__="meta_train"),
    )
    given: list[Any] = []

    def refuse(conf: Any, sections: list[str], name: str) -> None:
        given.append((sections, name))
        raise ConfError(["one: 1 is not allowed", "two: 2 is not allowed"])

    monkeypatch.setattr(shared_flow_runs, "_given", lambda flow_run_id: (flow, {}))
    monkeypatch.setattr(shared_flow_runs.assembly, "checked", refuse)
    flow_run_id = uuid4()
    with pytest.raises(SystemExit) as ending:
        shared_flow_runs.work(str(flow_run_id))
    assert ending.value.code == REFUSED
    assert given == [(["meta_training"], "meta_train")]
    said = "one: 1 is not allowed\ntwo: 2 is not allowed"
    assert told == [("FAILED", said)]
    assert capsys.readouterr().err == said + "\n"
    # Only process 0 is the run in Prefect.
    monkeypatch.setenv("JAX_PROCESS_ID", "1")
    with pytest.raises(SystemExit):
        shared_flow_runs.work(str(flow_run_id))
    assert len(told) == 1
