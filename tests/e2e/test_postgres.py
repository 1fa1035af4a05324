"""compose.yaml without containers: PostgreSQL under both servers, logins, and a whole cycle."""

import json
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tasks.servers.processes import flow_runs
from tests.e2e import postgres
from tests.e2e.operators import SECONDS, eventually
from tests.e2e.team import Team
from tests.e2e.trainings import ENDED

META_STEPS = 2000
"""Of what is killed: enough that it is still at work when that is seen."""

AWAY_SECONDS = 60
"""Longer than Prefect's runner looks for cancellations without its server."""

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(3 * SECONDS),
    pytest.mark.skipif(
        postgres.programs() is None or postgres.owner() is None,
        reason="PostgreSQL is not installed as Debian does it (package postgresql)",
    ),
]


@pytest.fixture(scope="module")
def team() -> Iterator[Team]:
    """A team whose worker has done a whole cycle."""
    with tempfile.TemporaryDirectory(prefix="lopt-") as folder:
        # PostgreSQL's own user has to come through.
        Path(folder).chmod(0o711)
        found = Team(Path(folder))
        try:
            found.up()
            (cycle,) = found.ask_prefect(
                "deployments/filter", flows={"name": {"any_": ["full-cycle"]}}
            )
            run = found.ask_prefect(f"deployments/{cycle['id']}/create_flow_run")["id"]
            eventually(lambda: found.flow_run(run)["state_type"] in ENDED, found.log)
            assert found.flow_run(run)["state_type"] == "COMPLETED", found.log()
            yield found
        finally:
            found.down()


def champion(team: Team) -> dict[str, str]:
    """The version that the cycle has registered."""
    asked = {"name": "learned-optimizer", "alias": "champion"}
    return dict(team.ask_mlflow("registered-models/alias", **asked)["model_version"])


def test_the_cycle_ends_in_the_registry_with_its_files_in_the_server_s_folder(team: Team) -> None:
    version = champion(team)
    assert version["version"] == "1"
    run = team.ask_mlflow("runs/get", run_id=version["run_id"])["run"]
    assert run["info"]["artifact_uri"].startswith("mlflow-artifacts:/")
    assert list((team.folder / "mlflow" / "artifacts").rglob("meta_params.safetensors"))
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    # Where a browser is, which is outside of the services.
    assert tags["prefect.flow_run_url"].startswith(f"{team.prefect}/")


def test_a_schedule_has_its_next_runs_waiting(team: Team) -> None:
    """Also with SQLite; but which runs Prefect plans depends on what the database is asked with."""
    (night,) = team.ask_prefect(
        "deployments/filter", flows={"name": {"any_": ["nightly-retraining"]}}
    )
    later = datetime.now(UTC) + timedelta(days=40)  # not while this test runs
    cron = {"cron": f"0 0 {later.day} {later.month} *", "timezone": "Etc/UTC"}
    schedules = [{"schedule": cron, "active": True}]
    team.ask_prefect(f"deployments/{night['id']}/schedules", content=schedules)
    wanted = {"deployments": {"id": {"any_": [night["id"]]}}}

    def is_planned() -> bool:
        runs = team.ask_prefect("flow_runs/filter", **wanted)
        return any(later.date().isoformat() in run["expected_start_time"] for run in runs)

    eventually(is_planned, team.log, seconds=300)


def test_both_servers_ask_who_it_is(team: Team) -> None:
    pages = (f"{team.prefect}/api/flow_runs/filter", f"{team.mlflow}/api/2.0/mlflow/runs/search")
    for page in pages:
        for auth in (None, ("operator", "wrong"), ("admin", "wrong")):
            asked = httpx.post(page, json={"experiment_ids": ["1"]}, auth=auth, timeout=60)
            assert asked.status_code == httpx.codes.UNAUTHORIZED, page


def meta_steps(team: Team, mlflow_run: str) -> list[int]:
    """The meta-steps that MLflow has a loss of."""
    asked = {"run_id": mlflow_run, "metric_key": "meta/loss", "max_results": "10000"}
    found = team.ask_mlflow("metrics/get-history", **asked)
    return sorted(int(point["step"]) for point in found["metrics"])


def started(team: Team, **values: Any) -> str:
    """Start a meta-training that no other test has; the id of its flow run."""
    found = team.ask_prefect("deployments/filter", flows={"name": {"any_": ["meta-train"]}})
    (wanted,) = [one for one in found if one["name"] == "tiny"]
    few = {"segment_meta_steps": 20, "warmup_meta_steps": 2, "meta_steps_per_dispatch": 1}
    conf = wanted["parameters"]["meta_training"] | few | values
    asked = {"parameters": {"meta_training": conf}}
    return str(team.ask_prefect(f"deployments/{wanted['id']}/create_flow_run", content=asked)["id"])


def test_what_a_killed_worker_was_doing_goes_on_when_the_worker_is_back(team: Team) -> None:
    known = set(team.folder.glob("lopt/runs/*/*/run.json"))
    run = started(team, meta_steps=META_STEPS, seed=77)

    def begun() -> set[Path]:
        return set(team.folder.glob("lopt/runs/*/*/run.json")) - known

    def has_checkpoint() -> bool:
        return any(list((one.parent / "checkpoints").glob("*[0-9]")) for one in begun())

    eventually(has_checkpoint, team.log)
    team.kill("worker")
    assert team.flow_run(run)["state_type"] == "RUNNING"
    (record,) = begun()
    done = max(int(one.name) for one in (record.parent / "checkpoints").glob("*[0-9]"))
    assert 0 < done < META_STEPS
    team.start("worker")
    eventually(lambda: team.flow_run(run)["state_type"] in ENDED, team.log)
    found = team.flow_run(run)
    assert (found["state_type"], found["run_count"]) == ("COMPLETED", 2), team.log()
    assert begun() == {record}
    assert f"{found['name']} is scheduled again. Its process has given no sign" in team.said(
        "watch"
    )
    # What it went on from, and with which segment.
    segments = team.ask_prefect("task_runs/filter", flow_runs={"id": {"any_": [run]}}, limit=200)
    again = [one["name"] for one in segments if one["flow_run_run_count"] == 2]
    assert f"meta-steps-to-{done}" not in again
    assert f"meta-steps-to-{done + 20}" in again
    mlflow_run = json.loads(record.read_text())["mlflow_run_id"]
    assert meta_steps(team, mlflow_run) == list(range(1, META_STEPS + 1))


def processes_of(team: Team, flow_run: str) -> list[psutil.Process]:
    """Those that work on a flow run."""
    return [one for one in team.processes() if flow_runs([one]) == [flow_run]]


def test_a_run_that_is_cancelled_after_prefect_was_away_ends_though_its_worker_is_left_alone(
    team: Team,
) -> None:
    """Prefect's runner has given up by then, and `watch` reaches into no other container."""
    known = set(team.folder.glob("lopt/runs/*/*/checkpoints/*[0-9]"))
    run = started(team, meta_steps=100_000, seed=78, rollback_rise=1e6)

    def checkpoints() -> set[Path]:
        return set(team.folder.glob("lopt/runs/*/*/checkpoints/*[0-9]")) - known

    eventually(lambda: bool(checkpoints()), team.log)
    team.kill("prefect")
    time.sleep(AWAY_SECONDS)
    team.start("prefect")
    eventually(lambda: team.is_healthy("prefect"), team.log)
    cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    team.ask_prefect(f"flow_runs/{run}/set_state", content=cancelling)
    # A minute of patience, and what tests have beside them.
    eventually(lambda: not processes_of(team, run), team.log, seconds=180)
    eventually(lambda: team.flow_run(run)["state_type"] == "CANCELLED", team.log, seconds=60)
    assert team.flow_run(run)["run_count"] == 1
    newest = max(checkpoints(), key=lambda path: int(path.name))
    record = newest.parents[1] / "run.json"
    mlflow_run = json.loads(record.read_text())["mlflow_run_id"]
    assert meta_steps(team, mlflow_run)[: int(newest.name)] == list(range(1, int(newest.name) + 1))


def dumps(team: Team) -> dict[str, str]:
    return {name: team.postgres.dump(name) for name in ("prefect", "mlflow", "mlflow_auth")}


def test_all_that_was_recorded_is_in_postgresql_and_no_password_is(team: Team) -> None:
    recorded = dumps(team)
    assert "full-cycle" in recorded["prefect"]
    assert champion(team)["run_id"] in recorded["mlflow"]
    assert "admin" in recorded["mlflow_auth"]
    assert not list(team.folder.rglob("*.db"))
    found = [(name, text.find(one)) for name, text in recorded.items() for one in team.secrets()]
    assert [place for place in found if place[1] >= 0] == []


def test_no_password_is_in_a_file_or_a_log(team: Team) -> None:
    paths = [path for path in team.folder.rglob("*") if path.is_file()]
    kept = [path for path in paths if not path.is_relative_to(team.folder / "postgres" / "data")]
    names = {path.name for path in kept}
    assert {"prefect.log", "mlflow.log", "worker.log", "postgres.log", "config.json"} <= names
    texts = {path: path.read_bytes() for path in kept}
    wanted = [one.encode() for one in team.secrets()]
    assert [path for path, text in texts.items() if any(one in text for one in wanted)] == []


def test_no_password_is_in_a_command_line(team: Team) -> None:
    lines = [" ".join(process.cmdline()) for process in team.processes()]
    assert any("basic-auth" in line for line in lines)
    assert any("worker start" in line for line in lines)
    assert [line for line in lines if any(one in line for one in team.secrets())] == []


def test_nobody_outside_of_this_machine_can_reach_it(team: Team) -> None:
    listening = {
        connection.laddr.ip
        for process in team.processes()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
