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


def test_a_conf_that_is_refused_before_the_flow_begins_is_said_in_prefect(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    states: list[Any] = []

    class Client:
        def __enter__(self) -> "Client":
            return self

        def __exit__(self, *arguments: object) -> None: ...

        def set_flow_run_state(self, flow_run_id: object, state: Any, force: bool) -> None:
            states.append((flow_run_id, state.type.value, state.message, force))

    monkeypatch.setattr("prefect.client.orchestration.get_client", lambda sync_client: Client())
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
    assert states == [(flow_run_id, "FAILED", said, True)]
    assert capsys.readouterr().err == said + "\n"
    # Only process 0 is the run in Prefect.
    monkeypatch.setenv("JAX_PROCESS_ID", "1")
    with pytest.raises(SystemExit):
        shared_flow_runs.work(str(flow_run_id))
    assert len(states) == 1
