"""The deployments that are shipped, in a real Prefect server: as the file says, and no others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.settings import REPOSITORY
from tests.e2e.operators import SECONDS, Operator, brought_up, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3 * SECONDS)]

SHIPPED = REPOSITORY / "conf" / "operations" / "deployments.yaml"
PREFECT_S = {"updated", "status", "last_polled", "pull_steps"}
"""What Prefect itself writes anew at each declaration, or while a worker asks for work."""
OURS = "lopt"
NIGHTLY = "nightly-retraining/nightly"
NIGHTS_AHEAD = 3


@pytest.fixture(scope="module")
def shipped() -> Iterator[Operator]:
    """An operator who has done `make up` with nothing changed."""
    with brought_up({"LOPT_DEPLOYMENTS": str(SHIPPED)}) as found:
        yield found


def declare(operator: Operator, file: Path = SHIPPED) -> None:
    run = operator.command("declare", LOPT_DEPLOYMENTS=str(file))
    assert run.returncode == 0, run.stderr


def deployments(operator: Operator) -> dict[str, dict[str, Any]]:
    """All that the server has, by flow and name."""
    flows = {one["id"]: one["name"] for one in operator.ask("flows/filter")}
    found = operator.ask("deployments/filter")
    return {f"{flows[one['flow_id']]}/{one['name']}": one for one in found}


def lasting(operator: Operator) -> dict[str, dict[str, Any]]:
    """The same without what Prefect counts and dates by itself."""
    return {
        name: {key: value for key, value in one.items() if key not in PREFECT_S}
        | {"schedules": [(each["schedule"], each["active"]) for each in one["schedules"]]}
        for name, one in deployments(operator).items()
    }


def planned(operator: Operator) -> list[tuple[str, str]]:
    """The runs that wait for their time."""
    scheduled = {"state": {"type": {"any_": ["SCHEDULED"]}}}
    found = operator.ask("flow_runs/filter", flow_runs=scheduled)
    return sorted((one["deployment_id"], one["expected_start_time"]) for one in found)


def full_name(conf: dict[str, Any]) -> str:
    return f"{conf['flow'].replace('_', '-')}/{conf['name']}"


def made_by_a_person(operator: Operator, name: str, pool: str, *tags: str) -> str:
    """Make a deployment as a person does, who knows nothing of the file; its full name."""
    flow_id = deployments(operator)["sweep-storage/weekly"]["flow_id"]
    queue = None if pool == OURS else "default"
    said = {"name": name, "flow_id": flow_id, "work_pool_name": pool, "tags": list(tags)}
    operator.request("POST", "deployments/", said | {"work_queue_name": queue})
    return f"sweep-storage/{name}"


def test_what_is_shipped_is_all_there_as_the_file_says(shipped: Operator) -> None:
    conf = yaml.safe_load(SHIPPED.read_text())
    found = deployments(shipped)
    assert set(found) == {full_name(one) for one in conf["deployments"]}
    for said in conf["deployments"]:
        one = found[full_name(said)]
        assert (one["work_pool_name"], one["work_queue_name"]) == (OURS, said["queue"])
        assert one["tags"] == [OURS, *said.get("tags", [])]
        assert one["description"] == said["description"]
        limit = one["global_concurrency_limit"]
        assert (limit and limit["limit"]) == said.get("concurrency_limit"), full_name(said)
        assert one["parameters"], "a form is filled in"
        planned_for = [
            (each["schedule"]["cron"], each["schedule"]["timezone"], each["active"])
            for each in one["schedules"]
        ]
        when = said.get("schedule")
        assert planned_for == ([(when["cron"], when["time_zone"], True)] if when else [])
    pool = shipped.request("GET", f"work_pools/{OURS}").json()
    queues = shipped.ask(f"work_pools/{OURS}/queues/filter")
    limits = {one["name"]: one["concurrency_limit"] for one in queues}
    assert pool["concurrency_limit"] == conf["work_pool"]["concurrency_limit"]
    wanted = conf["work_pool"]["queues"].items()
    assert limits == {"default": None} | {
        name: queue.get("concurrency_limit") for name, queue in wanted
    }


def test_declaring_again_changes_nothing_and_leaves_a_switch_as_a_person_left_it(
    shipped: Operator,
) -> None:
    sweep = deployments(shipped)["sweep-storage/weekly"]
    path = f"deployments/{sweep['id']}/schedules/{sweep['schedules'][0]['id']}"
    shipped.request("PATCH", path, {"active": False})
    eventually(lambda: len(planned(shipped)) >= NIGHTS_AHEAD, shipped.log, 300)
    before, waiting = lasting(shipped), planned(shipped)
    assert {deployment for deployment, _ in waiting} == {before[NIGHTLY]["id"]}
    declare(shipped)
    assert lasting(shipped) == before
    # Planned anew, each night once.
    eventually(lambda: planned(shipped) == waiting, shipped.log, 300)
    switches = {
        name: one["active"]
        for name, found in deployments(shipped).items()
        for one in found["schedules"]
    }
    assert switches == {NIGHTLY: True, "sweep-storage/weekly": False}


def test_what_is_taken_out_of_the_file_goes_and_what_a_person_made_stays(
    shipped: Operator, tmp_path: Path
) -> None:
    shipped.request("POST", "work_pools/", {"name": "other", "type": "process"})
    persons = {
        made_by_a_person(shipped, "mine", OURS, "storage"),
        made_by_a_person(shipped, "elsewhere", "other", OURS),
    }
    conf = yaml.safe_load(SHIPPED.read_text())
    *kept, taken_out = conf["deployments"]
    file = tmp_path / "deployments.yaml"
    file.write_text(yaml.safe_dump(conf | {"deployments": kept}))
    before = lasting(shipped)
    assert persons < set(before)
    declare(shipped, file)
    del before[full_name(taken_out)]
    assert lasting(shipped) == before
