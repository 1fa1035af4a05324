"""A night, a refusal, a promotion and a rollback, on the real servers."""

import pytest

from tests.e2e.operators import SECONDS, Operator, eventually
from tests.e2e.trainings import champion, completed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(5 * SECONDS)]


def artifacts(operator: Operator, flow_run_id: str) -> set[str]:
    found = operator.ask("artifacts/filter", flow_runs={"id": {"any_": [flow_run_id]}})
    return {str(one["key"]) for one in found}


def subflow(operator: Operator, flow: str) -> str:
    found = operator.ask(
        "flow_runs/filter", flows={"name": {"any_": [flow]}}, sort="EXPECTED_START_TIME_DESC"
    )
    return str(found[0]["id"])


def test_a_night_has_a_challenger_and_the_champion_is_changed_and_rolled_back_by_hand(
    operator: Operator,
) -> None:
    from mlflow import MlflowClient

    operator.up()
    completed(operator, "full-cycle")
    first = champion(operator)
    completed(operator, "nightly-retraining")
    night = MlflowClient(operator.mlflow).get_model_version_by_alias(
        "learned-optimizer", "challenger"
    )
    # Nothing is learned in six meta-steps, whatever the gate says of it.
    promoted = night.tags["gate"] == "promoted"
    assert night.tags["gate.champion"] == str(first)
    assert champion(operator) == (int(night.version) if promoted else first)
    keys = artifacts(operator, subflow(operator, "challenge-champion"))
    assert {"gate", "gate-targets", "gate-plot", "mlflow-run"} <= keys
    completed(operator, "promote-release", version=str(night.version), force=True)
    assert champion(operator) == int(night.version)
    completed(operator, "roll-back")
    assert champion(operator) == first


def test_a_night_that_has_learned_nothing_is_refused_and_the_champion_stays(
    operator: Operator,
) -> None:
    from mlflow import MlflowClient

    operator.up()
    completed(operator, "full-cycle")
    before = champion(operator)
    given = dict(operator.deployment("nightly-retraining")["parameters"]["meta_training"])
    # Less than the last digit of any meta-param: what challenges is the champion once more.
    completed(operator, "nightly-retraining", meta_training=given | {"meta_learning_rate": 1e-30})
    night = MlflowClient(operator.mlflow).get_model_version_by_alias(
        "learned-optimizer", "challenger"
    )
    assert (night.tags["gate"], night.tags["gate.champion"]) == ("refused", str(before))
    assert champion(operator) == before
    keys = artifacts(operator, subflow(operator, "challenge-champion"))
    assert {"gate", "gate-targets", "gate-plot"} <= keys


def test_a_schedule_s_next_run_waits_in_prefect_for_its_time(operator: Operator) -> None:
    operator.up()
    deployment = operator.deployment("roll-back")
    path = f"deployments/{deployment['id']}/schedules"
    once_a_year = {"schedule": {"cron": "0 3 1 1 *", "timezone": "Etc/UTC"}, "active": True}
    (schedule,) = operator.request("POST", path, [once_a_year]).json()
    only = {
        "deployment_id": {"any_": [deployment["id"]]},
        "state": {"type": {"any_": ["SCHEDULED"]}},
    }

    def waiting() -> list[str]:
        found = operator.ask("flow_runs/filter", flow_runs=only)
        return [str(one["expected_start_time"]) for one in found if one["auto_scheduled"]]

    try:
        eventually(lambda: bool(waiting()), operator.log, 300)
        assert all("-01-01T03:00:00" in time for time in waiting())
    finally:
        operator.request("DELETE", f"{path}/{schedule['id']}")


def test_the_schedule_has_its_time_zone_and_its_switch_stays_as_a_person_left_it(
    operator: Operator,
) -> None:
    operator.up()
    deployment = operator.deployment("nightly-retraining")
    (schedule,) = deployment["schedules"]
    assert schedule["schedule"] == schedule["schedule"] | {
        "cron": "0 2 1 1 *",
        "timezone": "Europe/Vienna",
    }
    assert schedule["active"]
    path = f"deployments/{deployment['id']}/schedules/{schedule['id']}"
    operator.request("PATCH", path, {"active": False})
    operator.up()
    (schedule,) = operator.deployment("nightly-retraining")["schedules"]
    assert not schedule["active"]
